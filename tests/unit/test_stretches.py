"""Stretches: their shapes, strides and costs against hand counts and real layers; what is none."""

import pytest
import torch
from torch import Tensor, nn

from secateur.compensation.collapse import changes_of
from secateur.depth import change_
from secateur.errors import ModelError
from secateur.sites import Stretch
from secateur.stretches import find_layers
from secateur.width import copied


class Block(nn.Module):
    """A residual block of images, whose shortcut is a convolution where the shape changes."""

    def __init__(self, into: int, out: int, stride: int = 1, *, last: bool = True) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm, self.again, self.relu = nn.BatchNorm2d(out), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        self.short = nn.Identity() if into == out and stride == 1 else nn.Conv2d(into, out, 1, stride)
        self.end = self.relu if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.short(x) + self.again(self.two(self.relu(self.norm(self.one(x))))))


class Branch(nn.Module):
    """An MLP that is added to what it reads, by the module around it."""

    def __init__(self, *, sums: bool = True) -> None:
        super().__init__()
        self.stem, self.mlp = nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 6))
        self.head, self.sums = nn.Linear(6, 2), sums

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.mlp(x) if self.sums else self.mlp(x))


def residual(*, last: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), Block(4, 4, last=last), Block(4, 6, 2, last=last), nn.Conv2d(6, 2, 1))


def stretches(model: nn.Module, *shape: int) -> tuple[Stretch, ...]:
    return find_layers(model, torch.randn(2, *shape)).stretches


def outline(found: tuple[Stretch, ...]) -> list[tuple[object, ...]]:
    return [(one.name, one.modules, one.inputs, one.outputs, one.kernel, one.stride, one.then) for one in found]


def test_residual_blocks_are_convolutions_of_their_stride_before_their_last_rectifier() -> None:
    first, second = stretches(residual(), 3, 9, 9)
    assert outline((first, second)) == [
        ("1", ("1",), 4, 4, (3, 3), (1, 1), "relu"),
        ("2", ("2",), 4, 6, (3, 3), (2, 2), "relu"),
    ]
    assert (first.has_path, second.has_path) == (True, False)
    assert (first.macs, first.macs_after) == (2 * 81 * 9 * 16, 81 * 9 * 16)
    assert (second.macs, second.macs_after) == (25 * (9 * 24 + 9 * 36 + 24), 25 * 9 * 24)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("size", [8, 9])
def test_an_operator_in_the_place_of_a_stretch_puts_out_the_same_shape(last: bool, size: int) -> None:
    model, x = residual(last=last).eval(), torch.randn(2, 3, size, size)
    for stretch in stretches(model, 3, size, size):
        small = copied(model)
        change_(small, changes_of(stretch))
        for end in range(1, 5):
            assert small[:end](x).shape == model[:end](x).shape


def test_the_costs_are_those_that_the_whole_network_loses() -> None:
    model = residual()
    before = find_layers(model, torch.randn(2, 3, 8, 8))
    second = before.stretches[1]
    change_(model, changes_of(second))
    assert find_layers(model, torch.randn(2, 3, 8, 8)).macs == before.macs - second.macs + second.macs_after


def test_two_linear_layers_are_a_pair_with_the_norm_behind_and_neighbours_share_one() -> None:
    layers = nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
    found = stretches(nn.Sequential(*layers), 5)
    assert outline(found) == [
        ("1", ("0", "1", "2", "3"), 5, 6, (), (), ""),
        ("4", ("2", "3", "4", "5"), 7, 3, (), (), ""),
    ]
    assert [(one.macs, one.macs_after) for one in found] == [(35 + 42, 30), (42 + 18, 21)]


def test_a_pair_of_convolutions_has_the_strides_of_both_and_of_the_pool_between() -> None:
    layers = nn.Conv1d(2, 3, 3, 2, 1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(3, 5, 5, padding=2)
    (found,) = stretches(nn.Sequential(*layers), 2, 16)
    assert (found.kernel, found.stride, found.macs, found.macs_after) == ((3,), (4,), 8 * 3 * 6 + 4 * 5 * 15, 4 * 30)


def test_a_branch_is_known_by_the_sum_that_it_goes_into() -> None:
    (summed,), (alone,) = stretches(Branch(), 4), stretches(Branch(sums=False), 4)
    assert (summed.name, summed.is_branch, summed.has_path) == ("mlp", True, False)
    assert (alone.name, alone.is_branch, alone.has_path) == ("mlp", False, False)


def test_no_rectifier_is_in_two_stretches() -> None:
    inner = Branch()
    found = stretches(nn.Sequential(nn.Linear(3, 4), inner, nn.LayerNorm(2), nn.ReLU(), nn.Linear(2, 2)), 3)
    names = [name for one in found for name in one.activations]
    assert len(names) == len(set(names))


class Tuples(nn.Module):
    """A block that gives more than a tensor, or takes more."""

    def __init__(self, *, gives: bool) -> None:
        super().__init__()
        self.inner, self.act, self.outer, self.gives = nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), gives

    def forward(self, x: Tensor, scale: object = None) -> object:
        y = x + self.outer(self.act(self.inner(x)))
        return (y, scale) if self.gives else y


@pytest.mark.parametrize("gives", [True, False])
def test_a_module_that_takes_or_gives_more_than_a_tensor_stays_and_only_its_pair_can_go(gives: bool) -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block, self.head = nn.Linear(4, 4), Tuples(gives=gives), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head(self.block(x)[0] if gives else self.block(x, scale=None))

    (found,) = stretches(Around(), 4)
    assert found.modules == ("block.inner", "block.act", "block.outer")
    assert found.is_branch


def test_a_module_that_runs_twice_is_in_no_stretch() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.same, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.same(self.act(self.same(self.first(x))))

    assert stretches(Twice(), 4) == ()


def test_a_network_without_rectifiers_is_refused() -> None:
    with pytest.raises(ModelError, match="no rectifier"):
        find_layers(nn.Linear(3, 2), torch.randn(2, 3))
