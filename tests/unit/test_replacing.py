"""Layers replaced: lines against polyfit, states by their definition, paths and zeros for what is dropped."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur import storage
from secateur.budget import Choice
from secateur.budget.layers import Become
from secateur.depth import Affine
from secateur.errors import PlanError, UnknownNameError
from secateur.plan import from_json, to_json
from secateur.replacing import Replaced, replace_layers
from secateur.stretches import find_layers
from secateur.task import Task

ROWS = 60


class Block(nn.Module):
    def __init__(self, *, last: bool = False) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6)
        self.last = nn.ReLU() if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.outer(self.act(self.inner(x))))


class Net(nn.Module):
    """A stem with a rectifier, blocks with and without a rectifier behind, and a branch of a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu, self.more = nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 6)
        self.plain, self.ends = Block(), Block(last=True)
        self.branch = nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.ends(self.plain(self.more(self.relu(self.stem(x)))))
        return self.head(x + self.branch(x))


def net() -> Net:
    torch.manual_seed(2)
    return Net().double().eval()


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


X = rows(ROWS, 4)
TASK = Task.regression(calibration=[(X[:40], X[:40]), (X[40:], X[40:])])


def replaced(model: nn.Module, become: Become, *names: str, solve: bool = False) -> Replaced:
    sites = find_layers(model, TASK)
    chosen = [one for one in _all(model, become) if one.name in names]
    return replace_layers(model, sites, chosen, TASK, become=become, solve=solve)


def _all(model: nn.Module, become: Become) -> list[Choice]:
    sites = find_layers(model, TASK)
    if become in ("collapse", "drop"):
        return [Choice(one.name, one.activations, 0.5, 1, one) for one in sites.stretches]
    return [Choice(one.name, (one.name,), 0.5, 1) for one in sites.activations]


def around(model: Net) -> tuple[np.ndarray, np.ndarray]:
    """What the stem's rectifier reads and gives."""
    with torch.no_grad():
        read = model.stem(X)
    return read.numpy(), read.relu().numpy()


def test_lines_are_those_of_polyfit() -> None:
    model = net()
    found = replaced(model, "affine", "relu")
    put = found.cut.get_submodule("relu")
    assert isinstance(put, Affine)
    read, gave = around(model)
    lines = np.array([np.polyfit(read[:, unit], gave[:, unit], 1) for unit in range(7)])
    np.testing.assert_allclose(put.weight.detach().numpy(), lines[:, 0], atol=1e-9)
    np.testing.assert_allclose(put.bias.detach().numpy(), lines[:, 1], atol=1e-9)
    left = (gave - (read * lines[:, 0] + lines[:, 1])).var(0).sum() / gave.var(0).sum()
    (edit,) = found.plan.layers
    assert (edit.action, edit.name, edit.score, edit.rank) == ("affine", "relu", 0.5, 1)
    assert edit.error == pytest.approx(left, rel=1e-9)


def test_identity_leaves_what_comes_in_and_on_off_what_is_mostly_on() -> None:
    model = net()
    read, gave = around(model)
    identity, on_off = (replaced(model, how, "relu") for how in ("identity", "on_off"))
    assert isinstance(identity.cut.get_submodule("relu"), nn.Identity)
    assert np.isnan(identity.plan.layers[0].error)
    found = on_off.cut.get_submodule("relu")(torch.from_numpy(read)).detach().numpy()
    wanted = np.where(read.mean(0) > 0, read, 0.0)
    np.testing.assert_array_equal(found, wanted)
    assert 0 < (read.mean(0) > 0).sum() < 7
    assert on_off.plan.layers[0].error == pytest.approx(((wanted - gave).var(0)).sum() / gave.var(0).sum(), rel=1e-9)


def test_a_dropped_block_is_the_path_around_it() -> None:
    model = net()
    found = replaced(model, "drop", "plain", "ends").cut
    x = model.more(model.stem(X).relu()).relu()  # the rectifier behind the second block stays
    torch.testing.assert_close(found(X), model.head(x + model.branch(x)), rtol=0, atol=0)


def test_a_dropped_branch_gives_zeros() -> None:
    model = net()
    found = replaced(model, "drop", "branch").cut
    x = model.ends(model.plain(model.more(model.stem(X).relu())))
    torch.testing.assert_close(found(X), model.head(x), rtol=0, atol=0)


@pytest.mark.parametrize("become", ["affine", "identity", "on_off", "collapse", "drop"])
def test_the_rest_solved_anew_comes_nearer_and_what_is_saved_loads_alike(become: Become, tmp_path: object) -> None:
    model = net()
    names = [one.name for one in _all(model, become)]
    with untouched(model):
        found = replaced(model, become, *(name for name in names if not name.startswith("relu")), solve=True)
    errors = [float((one(X) - model(X)).detach().square().mean()) for one in (found.cut, found.model)]
    assert errors[1] <= errors[0]
    assert from_json(to_json(found.plan)) == found.plan or become in ("identity", "drop")  # NaN is not itself
    path = f"{tmp_path}/net.safetensors"
    storage.save(found.model, path, plan=found.plan)
    assert torch.equal(storage.load(path, build=net)(X), found.model(X))


@pytest.mark.parametrize("become", ["affine", "identity", "on_off", "collapse", "drop"])
def test_no_choice_changes_nothing(become: Become) -> None:
    model = net()
    found = replaced(model, become)
    assert found.model is not model
    assert torch.equal(found.model(X), model(X))
    assert found.plan.layers == ()


@pytest.mark.usefixtures("unchecked")
def test_choices_for_another_form_are_refused() -> None:
    model = net()
    sites = find_layers(model, TASK)
    with pytest.raises(PlanError, match="relu: this is an activation, which cannot drop"):
        replace_layers(model, sites, _all(model, "affine"), TASK, become="drop")
    with pytest.raises(PlanError, match="this is a stretch, which cannot affine"):
        replace_layers(model, sites, _all(model, "drop"), TASK)
    with pytest.raises(UnknownNameError, match="collapse"):
        replace_layers(model, sites, [], TASK, become="colapse")  # type: ignore[arg-type]
