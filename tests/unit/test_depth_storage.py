"""Networks with changed layers come back from disk as they were, in a fresh process too."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from saved_nets import same_bits
from secateur import storage, width
from secateur.activations import find_activations
from secateur.composing import compose
from secateur.depth import change_, linear_at, part_of
from secateur.errors import FileError, PlanError
from secateur.plan import LayerEdit, Part, Plan, Swap, Untie

SOURCE = """
import torch
import torch.nn.functional as F
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.last, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return self.act(self.last(self.act(self.norm(self.first(x)))) + x)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(3, 4, 3), Block(), Block()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.two(self.one(F.relu(self.stem(x))))
        return self.head(x.mean((2, 3)))
"""
SCRIPT = """
import torch
torch.set_num_threads(1)
from net import Net, Block
from secateur.storage import load
for name, x, wanted in torch.load('wanted.pt'):
    model = load(name + '.safetensors', build=Net).eval()
    assert isinstance(model, Net) and isinstance(model.one, Block), model
    assert torch.equal(model(x), wanted), (name, (model(x) - wanted).abs().max())
"""
X = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for tensor in model.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn_like(tensor) if tensor.dim() > 1 else torch.rand_like(tensor) + 0.1)
    return model.eval()


def linearised(model: nn.Module) -> Plan:
    """Lines for three activations: of a function in the root's forward, and of both calls of a shared module."""
    edits = []
    for activation in find_activations(model, X).activations[:3]:
        changes = linear_at(model, activation, *torch.rand(2, activation.units))
        edits.append(LayerEdit(activation.name, "affine", changes, error=0.1))
    return Plan("easier", layers=tuple(edits))


def silent(model: nn.Module) -> Plan:
    """The second call of a shared module turned into the identity."""
    activation = find_activations(model, X).activation("two.act#2")
    changes = linear_at(model, activation, torch.ones(4), torch.zeros(4))
    return Plan("easier", layers=(LayerEdit(activation.name, "identity", changes),))


def collapsed(model: nn.Module) -> Plan:
    """A block that became one fitted operator and a rectifier."""
    one = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    changes = (Swap("two", part_of(one)),)
    change_(model, changes)
    model.two.load_state_dict(one.state_dict())
    return Plan("linear_fit", layers=(LayerEdit("two", "collapse", changes, error=0.02),))


def cut(model: nn.Module) -> Plan:
    """Units of what is there now, out of the network that is handed in: in place, unlike `apply`."""
    sites = sc.find_sites(model, X)
    plan = sc.plan_of(sites, {"one.first": (1, 2)})
    width.cut_(model, plan)
    return plan


WAYS: dict[str, tuple[Callable[[nn.Module], Plan], ...]] = {
    "linearised": (linearised,),
    "identity": (silent,),
    "collapsed": (collapsed,),
    "all": (cut, silent, collapsed, linearised),
}


@pytest.fixture
def net(tmp_path: Path) -> ModuleType:
    (tmp_path / "net.py").write_text(SOURCE)
    module = ModuleType("net")
    exec(compile(SOURCE, str(tmp_path / "net.py"), "exec"), module.__dict__)
    return module


def made(net: ModuleType, way: str) -> tuple[nn.Module, Plan]:
    model, plan = randomised(net.Net()), Plan("")
    for change in WAYS[way]:
        plan = compose(plan, change(model))
    return model, plan


def test_a_fresh_process_loads_changed_layers_with_the_same_output_bit_for_bit(net: ModuleType, tmp_path: Path) -> None:
    wanted = []
    for way in WAYS:
        model, plan = made(net, way)
        storage.save(model, tmp_path / f"{way}.safetensors", plan=plan)
        wanted.append((way, X, model(X).detach()))
    torch.save(wanted, tmp_path / "wanted.pt")
    paths = os.pathsep.join([str(Path(sc.__file__).parents[1]), str(tmp_path)])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()


@pytest.mark.parametrize("way", WAYS)
def test_loaded_is_what_was_saved(net: ModuleType, way: str, tmp_path: Path) -> None:
    model, plan = made(net, way)
    storage.save(model.half(), tmp_path / "small.safetensors", plan=plan)
    loaded = storage.load(tmp_path / "small.safetensors", build=net.Net).eval()
    same_bits(loaded, model)
    assert repr(loaded) == repr(model)
    assert storage.read_plan(tmp_path / "small.safetensors") == plan


def test_a_builder_may_make_parameters_without_values(net: ModuleType, tmp_path: Path) -> None:
    def build() -> nn.Module:
        model = net.Net()
        for module in model.modules():
            for name, parameter in module._parameters.items():
                module._parameters[name] = parameter if parameter is None else nn.Parameter(parameter.to("meta"))
        return model

    model, plan = made(net, "all")
    storage.save(model, tmp_path / "small.safetensors", plan=plan)
    assert torch.equal(storage.load(tmp_path / "small.safetensors", build=build).eval()(X), model(X))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Swap("three", Part("identity")), "three: the plan puts a identity there"),
        (Swap("two", Part("transformer")), "'transformer': no kind of module"),
        (Swap("two", Part("linear", {"in_features": 3})), "linear: cannot be built"),
        (Untie("one", ("a",)), "one: the plan tells 1 calls apart"),
        (Untie("head", ("a",)), "head: the plan tells 1 calls apart"),
    ],
)
def test_a_plan_that_does_not_fit_the_builder_is_refused(
    net: ModuleType, change: Swap | Untie, reason: str, tmp_path: Path
) -> None:
    plan = Plan("easier", layers=(LayerEdit("a", "identity", (change,)),))
    storage.save(net.Net(), tmp_path / "small.safetensors", plan=plan)
    with pytest.raises(FileError, match=f"its plan or shapes do not fit the model: {reason}"):
        storage.load(tmp_path / "small.safetensors", build=net.Net)


class Deciding(nn.Module):
    """A forward that cannot be followed, in the place of another."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x) if x.sum() > 0 else x


def test_a_builder_of_another_forward_is_refused(tmp_path: Path) -> None:
    plan = Plan("easier", layers=(LayerEdit("a", "identity", (Untie("", ("act_1", "act_2")),)),))
    storage.save(Deciding(), tmp_path / "small.safetensors", plan=plan)
    with pytest.raises(
        FileError, match="do not fit the model: Deciding: the calls of its forward cannot be told apart"
    ):
        storage.load(tmp_path / "small.safetensors", build=Deciding)


def test_weights_of_what_came_in_must_be_in_the_file(net: ModuleType, tmp_path: Path) -> None:
    _, plan = made(net, "collapsed")
    storage.save(net.Net(), tmp_path / "small.safetensors", plan=plan)
    with pytest.raises(FileError, match=r"2 missing \('two.0"):
        storage.load(tmp_path / "small.safetensors", build=net.Net)


# --- optimizers, judges -----------------------------------------------------------------------------------------------


def test_an_optimizer_goes_on_where_no_weights_came_or_went(net: ModuleType) -> None:
    model = randomised(net.Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(X).sum().backward()
    optimizer.step()
    plan = silent(small := randomised(net.Net()))
    remapped = sc.remap_optimizer(optimizer, model, small, plan)
    kept = remapped.state[small.two.last.weight]["momentum_buffer"]
    assert torch.equal(kept, optimizer.state[model.two.last.weight]["momentum_buffer"])
    for way in ("linearised", "collapsed", "all"):
        small, plan = made(net, way)
        with pytest.raises(PlanError, match="no state of an optimizer fits; begin anew"):
            sc.remap_optimizer(optimizer, model, small, plan)


def test_a_judge_names_the_activation_that_became_something_else(net: ModuleType) -> None:
    model = randomised(net.Net())
    other = net.Net()
    other.load_state_dict(model.state_dict())
    other.two.act = nn.Identity()
    found = sc.judge(model, other.eval(), X)
    assert found.is_wrong and "two.act: is Identity, not ReLU" in found.reasons
