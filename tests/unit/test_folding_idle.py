"""Units that give the same whatever comes in: cut, and the network computes what it did."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from folded import assert_equal, settled
from secateur import storage
from secateur.depth import Affine
from secateur.folding import fold
from secateur.folding.idle import without_idle
from secateur.replay import replay_

WIDTHS = st.lists(st.sampled_from(["on", "off", "bend", "dead", "stuck"]), min_size=2, max_size=6)


def line(kinds: list[str], axis: int) -> Affine:
    """Lines that let through, give nothing, or give a number of their own."""
    put = Affine(len(kinds), axis)
    slopes = {"on": 1.0, "off": 0.0, "bend": 0.7, "dead": 0.0, "stuck": 0.0}
    put.weight.data = torch.tensor([slopes[kind] for kind in kinds])
    put.bias.data = torch.tensor([0.3 + 0.1 * n if kind == "stuck" else 0.0 for n, kind in enumerate(kinds)])
    return put


def kept(kinds: list[str]) -> int:
    """How many units stay: those that vary, and one for all that are stuck."""
    varying = sum(kind in ("on", "bend") for kind in kinds)
    return max(varying + ("stuck" in kinds), 1)


@given(WIDTHS, st.integers(0, 2), st.integers(1, 2), st.booleans())
@settings(max_examples=5, deadline=None)
def test_lines_of_convolutions_leave_only_units_that_vary_and_one(
    kinds: list[str], padding: int, stride: int, bias: bool
) -> None:
    torch.manual_seed(len(kinds))
    width = len(kinds)
    model = nn.Sequential(
        *(nn.Conv2d(2, width, 3, padding=1), nn.BatchNorm2d(width), line(kinds, -3), nn.ReLU()),
        *(nn.Conv2d(width, 3, 3, stride, padding, bias=bias), nn.ReLU(), nn.Conv2d(3, 2, 1)),
    )
    model = settled(model).double()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    small, plan = without_idle(model, x)
    assert small[0].out_channels == kept(kinds)
    assert small[4].in_channels == kept(kinds)
    assert_equal(small, model, x)
    again = settled(model)
    replay_(again, plan)
    again.load_state_dict(small.state_dict())
    assert_equal(again, small, x)


@given(WIDTHS, st.booleans())
@settings(max_examples=5, deadline=None)
def test_so_do_those_of_linear_layers_and_of_rows_of_zeros(kinds: list[str], flat: bool) -> None:
    torch.manual_seed(len(kinds))
    width = len(kinds)
    first: tuple[nn.Module, ...] = (nn.Linear(3, width),)
    x = torch.randn(4, 3, dtype=torch.float64)
    after = width
    if flat:
        first, x, after = (nn.Conv2d(2, width, 3),), torch.randn(2, 2, 5, 5, dtype=torch.float64), width * 9
    between = (nn.Flatten(),) if flat else ()
    model = nn.Sequential(*first, nn.ReLU(), *between, nn.Linear(after, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    for unit, kind in enumerate(kinds):
        if kind not in ("on", "bend"):
            model[0].weight.data[unit] = 0.0
            model[0].bias.data[unit] = {"off": -1.0, "dead": 0.0, "stuck": 0.5 + unit}[kind]
    small, _ = without_idle(model, x)
    assert len(small[0].weight) == kept(kinds)
    assert_equal(small, model, x)


class Residual(nn.Module):
    """A stream with a line on it, around a branch whose units are all stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.inner, self.norm, self.act, self.outer = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)
        self.line, self.head = line(["off", "on", "off", "bend"], -1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.line(x + self.outer(self.act(self.norm(self.inner(x))))))


@pytest.mark.parametrize("reads", [False, True])
def test_a_branch_that_is_stuck_keeps_one_unit_and_a_stream_that_it_reads_keeps_all(reads: bool) -> None:
    torch.manual_seed(0)
    model = settled(Residual())
    model.inner.weight.data[: 5 if reads else 6] = 0.0
    model.norm.bias.data = torch.tensor([5.0, -9.0, 5.0, 6.0, -9.0, 7.0])
    x = torch.randn(5, 3)
    small, _ = without_idle(model.double(), x.double())
    assert tuple(small.inner.weight.shape) == ((2, 4) if reads else (1, 2))  # the line gives two of the stream's zero
    assert tuple(small.stem.weight.shape) == ((4, 3) if reads else (2, 3))
    assert_equal(small, model, x.double())


def test_units_that_nobody_weighs_go_whatever_they_give() -> None:
    torch.manual_seed(4)
    model = settled(nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3, padding=1)))
    model[3].weight.data[:, [1, 3, 4]] = 0.0
    x = torch.randn(2, 2, 6, 6)
    small, plan = without_idle(model.double(), x.double())
    assert list(plan.removed.values()) == [(1, 3, 4)]
    assert small[0].out_channels == 2
    assert_equal(small, model, x.double())


def test_nothing_idle_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    small, plan = without_idle(model, torch.randn(2, 3))
    assert plan.cuts == ()
    assert torch.equal(small[0].weight, model[0].weight)
    lone = nn.Sequential(nn.Linear(3, 2))  # without a unit that could go
    assert without_idle(lone, torch.randn(2, 3))[1].cuts == ()


def test_fold_cuts_idle_units_first_and_its_plans_rebuild_the_network(tmp_path: object) -> None:
    def build() -> nn.Module:
        torch.manual_seed(1)
        put = line(["off", "on", "bend", "off", "stuck", "stuck"], -1)
        return nn.Sequential(nn.Linear(3, 6), put, nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).double().eval()

    x = torch.randn(4, 3, dtype=torch.float64)
    folded = fold(build(), x)
    assert_equal(folded.model, build(), x)
    assert len(folded.cuts.removed) == 1
    path = f"{tmp_path}/net.safetensors"
    storage.save(folded.model, path, plan=folded.plan)
    assert torch.equal(storage.load(path, build=build)(x), folded.model(x))


@pytest.mark.parametrize("axis", [-1])
def test_a_site_that_is_all_off_keeps_one_unit(axis: int) -> None:
    model = nn.Sequential(nn.Linear(3, 4), line(["off"] * 4, axis), nn.ReLU(), nn.Linear(4, 2))
    small, _ = without_idle(model, torch.randn(2, 3))
    assert len(small[0].weight) == 1
    assert_equal(small, model, torch.randn(2, 3))
