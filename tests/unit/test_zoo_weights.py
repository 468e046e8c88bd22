"""Published weights fit the networks of the zoo, by name and by what they compute.

Tests with trained weights need the folder of data that the environment variable SECATEUR_DATA names.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secateur import data, storage, zoo
from secateur.inference import evaluating

DATA = Path(os.environ.get("SECATEUR_DATA", "."))
with_data = pytest.mark.skipif("SECATEUR_DATA" not in os.environ, reason="SECATEUR_DATA names no folder with data")

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def normed(convolution: str, norm: str) -> Iterator[str]:
    """The names of a convolution without bias and the norm behind it."""
    yield f"{convolution}.weight"
    yield from (f"{norm}.{part}" for part in NORM)


def residual_names(stages: tuple[int, ...], convolutions: int, shortcuts: str, head: str) -> Iterator[str]:
    yield from normed("conv1", "bn1")
    for stage, blocks in enumerate(stages, 1):
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            for number in range(1, convolutions + 1):
                yield from normed(f"{place}.conv{number}", f"{place}.bn{number}")
            if shortcuts and block == 0 and (stage > 1 or convolutions == 3):
                yield from normed(f"{place}.{shortcuts}.0", f"{place}.{shortcuts}.1")
    yield from (f"{head}.weight", f"{head}.bias")


def vgg_names(step: int) -> Iterator[str]:
    place = 0
    for stage in (2, 2, 3, 3, 3):
        for _ in range(stage):
            yield from (f"features.{place}.{part}" for part in ("weight", "bias"))
            yield from (f"features.{place + 1}.{part}" for part in NORM if step == 3)
            place += step
        place += 1
    yield from (f"classifier.{place}.{part}" for place in (0, 3, 6) for part in ("weight", "bias"))


def mobilenet_v2_names() -> Iterator[str]:
    yield from normed("features.0.0", "features.0.1")
    for block in range(1, 18):
        place = f"features.{block}.conv"
        inner = 1 if block == 1 else 2
        for part in range(inner):
            yield from normed(f"{place}.{part}.0", f"{place}.{part}.1")
        yield from normed(f"{place}.{inner}", f"{place}.{inner + 1}")
    yield from normed("features.18.0", "features.18.1")
    yield from ("classifier.1.weight", "classifier.1.bias")


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("resnet20", residual_names((3, 3, 3), 2, "", "linear")),
        ("resnet56?shortcut=B", residual_names((9, 9, 9), 2, "shortcut", "linear")),
        ("resnet18", residual_names((2, 2, 2, 2), 2, "downsample", "fc")),
        ("resnet50", residual_names((3, 4, 6, 3), 3, "downsample", "fc")),
        ("vgg16", vgg_names(2)),
        ("vgg16_bn", vgg_names(3)),
        ("mobilenet_v2", mobilenet_v2_names()),
    ],
)
def test_parameters_are_named_as_where_the_weights_come_from(address: str, wanted: Iterator[str]) -> None:
    name, options = zoo.parse(address)
    with torch.device("meta"):
        model = zoo.build(name, **options)
    assert sorted(model.state_dict()) == sorted(wanted)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "vgg16_bn", "mobilenet_v2"])
def test_a_network_computes_what_that_of_torchvision_does(name: str) -> None:
    models = pytest.importorskip("torchvision").models
    ours = zoo.build(name).eval()
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    with torch.device("meta"):
        theirs = models.get_model(name, weights=None).eval()
    theirs.load_state_dict(ours.state_dict(), assign=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@with_data
@pytest.mark.parametrize(
    ("name", "published"), [("resnet20", 91.73), ("resnet32", 92.63), ("resnet44", 93.11), ("resnet56", 93.39)]
)
def test_published_weights_reach_the_published_accuracy_on_cifar(name: str, published: float) -> None:
    (path,) = (DATA / "weights/akamaster_pytorch_resnet_cifar10").glob(f"{name}-*.th")
    task = data.load(f"cifar10:{DATA / 'cifar10'}").task
    with evaluating(storage.load_weights(zoo.build(name), path)) as predict:
        assert task.evaluate("test", predict)["accuracy"] == pytest.approx(published, abs=0.005)


@with_data
def test_the_sheets_hold_the_bytes_of_cifar() -> None:
    loaded = data.load(f"cifar10:{DATA / 'cifar10'}")
    sums = {
        split: hashlib.sha256(getattr(loaded.task, split).pixels.numpy().tobytes()).hexdigest()[:16]
        for split in ("train", "test")
    }
    assert sums == {"train": "c7c6557433f8d7c5", "test": "25a508aee148b4cc"}
    assert dict(loaded.rows) == {"train": 45_000, "calibration": 5_000, "validation": 5_000, "test": 10_000}


@with_data
@pytest.mark.parametrize(
    ("name", "options", "weights", "normalise", "correct"),
    [
        ("mobilenet_v1", {"width": 0.25, "activation": "leaky_relu"}, "biubug6*/*.tar", "imagenet", 510),
        ("mobilenet_v2", {"norm": False, "padding": "end"}, "google-coral*/*.safetensors", "0.5", 878),
    ],
)
def test_published_weights_tell_images_of_imagenet_apart(
    name: str, options: dict[str, Any], weights: str, normalise: str, correct: int
) -> None:
    (path,) = (DATA / "weights").glob(weights)
    loaded = data.load(f"images:{DATA / 'imagenet_sample'}?validation=0&test=0&normalise={normalise}", batch_size=50)
    assert (loaded.outputs, dict(loaded.rows)) == (1000, {"train": 1000, "calibration": 1000})
    with evaluating(storage.load_weights(zoo.build(name, data="imagenet", **options), path)) as predict:
        assert loaded.task.evaluate("calibration", predict)["accuracy"] == pytest.approx(correct / 10)
