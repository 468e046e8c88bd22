"""Images on the command line: networks of the zoo are built for them, weights of others load, misfits are refused."""

from pathlib import Path

import pytest
import torch

import commands
import image_files
from image_files import drawn
from secateur import zoo

MINE = """
from torch import nn


class Viewed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 32 * 32, 10)

    def forward(self, x):
        return self.outer(self.inner(x).view(len(x), -1))


def viewed():
    return Viewed()


def two():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    image_files.write_binary(Path("ten"), drawn(120, 20))
    image_files.write_idx(Path("grey"), drawn(60, 20, side=28, channels=1))


def test_a_published_checkpoint_is_cut_and_recovered_on_cifar() -> None:
    state = {f"module.{name}": tensor for name, tensor in zoo.build("lenet").state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 61.0}, "lenet.th")
    found = commands.data(
        "compress", "--model", "zoo:lenet", "--weights", "lenet.th", "--data", "cifar10:ten?scoring=50",
        "--method", "magnitude", "--macs", "50%", "--recover", "1", "--bf16", "--ema-decay", "0.9", "--out", "run",
    )  # fmt: skip
    original, *_, final = found["steps"]
    written = Path("run/recipe.toml").read_text()
    assert 'mixed_precision = "bf16"' in written and "ema_decay = 0.9" in written
    assert found["settings"]["model"] == "zoo:lenet?data=cifar&outputs=10"
    assert final["measurement"]["macs"] <= 0.5 * original["measurement"]["macs"]
    measured = commands.data("measure", "--weights", "run/model.safetensors", "--data", "cifar10:ten")
    assert measured["macs"] == final["measurement"]["macs"]


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("zoo:lenet", "fashion_mnist:grey"),
        ("zoo:resnet20", "fashion_mnist:grey?channels=3"),
        ("zoo:resnet20?channels=1", "fashion_mnist:grey"),
    ],
)
def test_grey_images_are_taken_by_networks_for_them_or_as_coloured_ones(model: str, data: str) -> None:
    assert 0 <= commands.data("measure", "--model", model, "--data", data)["quality"]["accuracy"] <= 100


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (
            "zoo:resnet20",
            "fashion_mnist:grey",
            ("1 channel(s) and 28x28", "expected input", "?channels=3", "repeats grey"),
        ),
        ("zoo:lenet?data=cifar", "fashion_mnist:grey?channels=3", ("3 channel(s) and 28x28", "resize them")),
        ("zoo:lenet?data=mnist", "cifar10:ten", ("3 channel(s)", "?channels=1")),
        ("mine.py:viewed", "cifar10:ten", ("view size is not compatible", "?channels_last=0")),
        ("mine.py:two", "cifar10:ten", ("10 classes (0 to 9)", "gives 2 scores", "an output for each class")),
    ],
)
def test_images_that_a_network_cannot_take_are_refused(model: str, data: str, words: tuple[str, ...]) -> None:
    line = commands.refusal("sites", "--model", model, "--data", data)
    assert [word for word in words if word not in line] == [], line


def test_a_network_that_views_takes_images_with_their_channels_first() -> None:
    assert commands.data("sites", "--model", "mine.py:viewed", "--data", "cifar10:ten?channels_last=0")["sites"]
