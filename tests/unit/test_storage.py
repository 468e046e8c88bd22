"""Saved, loaded: the same model."""

import importlib.util
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import secateur
from saved_nets import PLAN, Net, header_of, same_bits, small, trained
from secateur import storage
from secateur.errors import FileError, ModelError, SettingsError
from secateur.plan import Cut, Plan
from secateur.surgery import apply


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))
"""


class Odd(nn.Module):
    """Tensors of every kind that can be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Parameter(torch.randn(3, 5).t())
        self.part = nn.Parameter(torch.randn(4, 4)[1:3, ::2])
        self.brain = nn.Parameter(torch.randn(3).bfloat16())
        self.short = nn.Parameter(torch.randn(3).half(), requires_grad=False)
        self.long = nn.Parameter(torch.randn(3).double())
        self.empty = nn.Parameter(torch.randn(0, 3))
        for name, tensor in {
            "whole": torch.tensor([-(2**62), 7]),
            "small": torch.tensor([255], dtype=torch.uint8),
            "yes": torch.tensor([True, False]),
            "scalar": torch.tensor(2.5),
            "spread": torch.ones(1).expand(3),
            "odd": torch.tensor([-0.0, torch.inf, torch.nan]),
        }.items():
            self.register_buffer(name, tensor)
        self.register_buffer("forgotten", torch.randn(2), persistent=False)


def test_a_fresh_process_loads_a_cut_model_with_the_same_output_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("net", tmp_path / "net.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = apply(trained(module.Net()), PLAN).eval()
    x = torch.randn(5, 4)
    storage.save(model, tmp_path / "small.safetensors", plan=PLAN)
    torch.save((x, model(x).detach()), tmp_path / "wanted.pt")

    script = (
        "import torch; torch.set_num_threads(1); from net import Net; from secateur.storage import load\n"
        "x, wanted = torch.load('wanted.pt')\n"
        "model = load('small.safetensors', build=Net).eval()\n"
        "assert type(model) is Net and model.first.out_features == 4 and model.norm.num_features == 4\n"
        "assert torch.equal(model(x), wanted), (model(x) - wanted).abs().max()\n"
    )
    paths = os.pathsep.join([str(Path(secateur.__file__).parents[1]), str(tmp_path)])
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr.decode()


def test_without_plan_and_builder_both_are_none(tmp_path: Path) -> None:
    storage.save(Net(), tmp_path / "net.safetensors")
    save_file(Net().state_dict(), tmp_path / "plain.safetensors")

    for name in ("net.safetensors", "plain.safetensors"):
        assert storage.read_plan(tmp_path / name) is None
        assert storage.read_builder(tmp_path / name) is None


def test_every_kind_of_tensor_comes_back_to_the_bit(tmp_path: Path) -> None:
    model = Odd()
    storage.save(model, tmp_path / "odd.safetensors")
    loaded = storage.load(tmp_path / "odd.safetensors", build=Odd)

    same_bits(loaded, model)
    assert not loaded.short.requires_grad
    assert loaded.brain.requires_grad
    assert "forgotten" not in header_of(tmp_path / "odd.safetensors")[0]


def test_dtypes_are_as_saved_while_modes_and_frozen_weights_are_as_built(tmp_path: Path) -> None:
    def build() -> nn.Module:
        model = Net()
        model.first.weight.requires_grad_(False)
        model.norm.eval()
        return model

    model = apply(trained(Net()), PLAN).bfloat16()
    storage.save(model, tmp_path / "half.safetensors", plan=PLAN)
    loaded = storage.load(tmp_path / "half.safetensors", build=build)

    same_bits(loaded, model)
    assert [p.requires_grad for p in loaded.parameters()] == [False, True, True, True, True, True]
    assert (loaded.training, loaded.norm.training, loaded.last.training) == (True, False, True)


def test_without_a_plan_shapes_are_taken_from_the_file(tmp_path: Path) -> None:
    model = small()
    storage.save(model, tmp_path / "net.safetensors")
    loaded = storage.load(tmp_path / "net.safetensors", build=Net)

    same_bits(loaded, model)
    assert (loaded.first.out_features, loaded.norm.num_features, loaded.last.in_features) == (4, 4, 4)


def test_a_layer_that_lost_all_its_units_comes_back_without_its_norm(tmp_path: Path) -> None:
    every = tuple(range(6))
    cuts = tuple(Cut(cut.tensor, cut.axis, cut.length, every) for cut in PLAN.cuts)
    plan = Plan("dense", (), cuts, emptied=("norm",), biased=("last",))
    model = apply(Net(), plan)
    storage.save(model, tmp_path / "empty.safetensors", plan=plan)
    loaded = storage.load(tmp_path / "empty.safetensors", build=Net)

    same_bits(loaded, model)
    assert isinstance(loaded.norm, nn.Identity)
    assert loaded(torch.randn(2, 4)).equal(model.last.bias.expand(2, 3))


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = Odd()
    before = {name: (id(t), t.data_ptr(), t.stride()) for name, t in model.state_dict(keep_vars=True).items()}
    storage.save(model, tmp_path / "odd.safetensors")

    assert before == {name: (id(t), t.data_ptr(), t.stride()) for name, t in model.state_dict(keep_vars=True).items()}


def sparse() -> Tensor:
    return torch.eye(3).to_sparse()


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (sparse, "sparse"),
        (lambda: torch.ones(2, device="meta"), "no values"),
        (nn.parameter.UninitializedParameter, "no values"),
    ],
)
def test_tensors_that_cannot_be_stored_are_refused_by_name(
    tmp_path: Path, tensor: Callable[[], Tensor], what: str
) -> None:
    model = nn.Linear(2, 2)
    model.register_parameter("strange", None)
    value = tensor()
    model.strange = value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)

    with pytest.raises(ModelError, match=rf"strange: .*{what}"):
        storage.save(model, tmp_path / "strange.safetensors")
    assert list(tmp_path.iterdir()) == []


class Extra(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}


def test_extra_state_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"_extra_state: a dict cannot be stored"):
        storage.save(Extra(2, 2), tmp_path / "extra.safetensors")


def test_a_plan_that_does_not_fit_the_builder_is_refused(saved: Path) -> None:
    with pytest.raises(
        FileError, match=r"its plan or shapes do not fit the model: first.bias: .*is this the right builder"
    ):
        storage.load(saved, build=lambda: nn.Sequential(OrderedDict(first=nn.Linear(4, 6, bias=False))))
    with pytest.raises(FileError, match=r"the plan expects 6 entries on axis 0, the model has 4"):
        storage.load(saved, build=small)


@pytest.mark.usefixtures("unchecked")
def test_load_refuses_plain_weights_and_odd_builders(saved: Path, tmp_path: Path) -> None:
    save_file(Net().state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(FileError, match=r"holds plain weights.*load_weights"):
        storage.load(tmp_path / "plain.safetensors", build=Net)
    with pytest.raises(SettingsError, match="build: gave a type; give a callable"):
        storage.load(saved, build=lambda: Net)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match="device other than meta"):
        storage.load(saved, build=lambda: Net().to("meta"))
