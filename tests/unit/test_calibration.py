"""Calibration: what statistics see is what the first layer that reads a site sees, once for every row."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur.calibration import calibrate
from secateur.errors import DataError
from secateur.finding import find_sites
from secateur.result import Event
from secateur.scores import Reads
from secateur.stats import Moments
from secateur.task import Task


def rows(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task_of(x: Tensor, batch: int = 16) -> Task:
    return Task.regression(calibration=[(part, part[:, :1]) for part in x.split(batch)])


def seen(model: nn.Module, task: Task) -> dict[str, Moments]:
    return calibrate(model, find_sites(model, task), task, Reads(Moments.empty))


def assert_moments_of(found: Moments, wanted: Tensor) -> None:
    """Of all rows [rows, units]."""
    assert found.count == len(wanted)
    torch.testing.assert_close(found.mean, wanted.mean(0), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.variance, wanted.var(0, correction=0), rtol=1e-11, atol=1e-14)


def read_by(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer reads, by a hook of PyTorch's own."""
    found: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, args: found.append(args[0].detach().clone()))
    model.eval()(x)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_units_are_watched_as_the_next_layer_reads_them(batch: int) -> None:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)
    ).double()
    model[1].running_mean.normal_()
    x = rows(40, 4)
    found = seen(model, task_of(x, batch))
    assert_moments_of(found["0"], read_by(model, model[4], x))
    assert_moments_of(found["4"], read_by(model, model[6], x))


def test_a_norm_over_units_is_passed_over_for_what_multiplies_them() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)).double()
    x = rows(40, 4)
    assert_moments_of(seen(model, task_of(x))["0"], read_by(model, model[3], x))


class Odd(nn.Module):
    """Side by side out of order, doubled, on tokens, read by a sum or by a product."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 5)
        self.weight, self.bias = nn.Parameter(rows(3, 2)), nn.Parameter(rows(2))
        self.last = nn.Linear({"side by side": 8, "doubled": 6, "flattened": 9}.get(how, 3), 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x).sigmoid()
        match self.how:
            case "side by side":
                return self.last(torch.cat([self.right(x), left], -1))
            case "doubled":
                return self.last(torch.cat([left, left.square()], -1))
            case "flattened":
                return self.last(left.flatten(1))
            case "tokens":
                return self.last(left).mean(1)
            case "product":
                return torch.addmm(self.bias, left, self.weight)
        return left.sum(-1, keepdim=True)


@pytest.mark.parametrize("how", ["side by side", "doubled", "flattened", "tokens", "product", "sum"])
@pytest.mark.parametrize("batch", [7, 40])
def test_units_are_watched_wherever_they_lie(how: str, batch: int) -> None:
    model = Odd(how)
    x = rows(40, 3, 4) if how in ("flattened", "tokens") else rows(40, 4)
    left = model.left(x).sigmoid().detach()
    wanted = {
        "doubled": torch.cat([left, left.square()]),  # two entries of a unit are two rows
        "flattened": left.reshape(-1, 3),
        "tokens": left.reshape(-1, 3),
    }
    assert_moments_of(seen(model, task_of(x, batch))["left"], wanted.get(how, left))


def test_everything_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Linear(6, 2)).double().train()
    x = rows(40, 4)
    task = task_of(x)
    with untouched(model):
        seen(model, task)
    assert torch.equal(x, rows(40, 4))


def test_one_row_is_too_few_and_two_are_not() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).double()
    with pytest.raises(DataError, match="1 row; statistics need at least two"):
        seen(model, task_of(rows(1, 4)))
    assert seen(model, task_of(rows(2, 4), batch=1))["0"].count == 2


def test_data_with_nan_is_refused_by_batch() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).double()
    x = rows(40, 4)
    x[20, 1] = float("nan")
    with pytest.raises(DataError, match="calibration batch 1: 1 of 64 input values"):
        seen(model, task_of(x))


class Endless:
    """Batches that do not say how many they are."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from ((part, part) for part in rows(40, 4).split(16))


@pytest.mark.parametrize(("batches", "total"), [(list(Endless()), 3), (Endless(), 0)])
def test_progress_is_told_batch_by_batch(batches: object, total: int) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).double()
    for task in (Task.regression(calibration=batches), Task.regression(train=batches)):
        heard: list[Event] = []
        calibrate(model, find_sites(model, task), task, Reads(Moments.empty), watch=heard.append)
        assert heard == [Event("calibrate", done, total) for done in (1, 2, 3)]
