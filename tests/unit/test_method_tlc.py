"""TLC's trials, against networks whose activations are really replaced; its statistics; what goes together."""

import copy
import logging
import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from footprint import untouched
from secateur import methods
from secateur.activations import find_activations
from secateur.errors import DataError
from secateur.methods.tlc import Normal, Tlc
from secateur.scores import Scores
from secateur.task import Task
from secateur.trials import trial_on


class Sides(nn.Module):
    """Lets some units through and makes the others zero."""

    def __init__(self, on: Tensor) -> None:
        super().__init__()
        self.on = on

    def forward(self, x: Tensor) -> Tensor:
        return x * self.on.to(x).reshape(-1, *[1] * (x.dim() - 2))


class Block(nn.Module):
    """A residual block of which both activations are in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.last, self.scale = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.out = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.first(x)))
        y = self.scale(self.last(y))
        y += x
        return self.out(y)


def net() -> nn.Sequential:
    torch.manual_seed(3)
    head = nn.Sequential(nn.Flatten(), nn.Linear(100, 8), nn.GELU(), nn.Linear(8, 3))
    model = nn.Sequential(nn.Conv2d(2, 4, 2), nn.ReLU(), Block(), head).double().eval()
    for norm in (model[2].norm, model[2].scale):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
    return model


NAMES = ("1", "2.act", "2.out", "3.2")


def task_of(batch: int = 8, scale: float = 1.0) -> Task:
    x = scale * torch.randn(32, 2, 6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    y = torch.randint(3, (32,), generator=torch.Generator().manual_seed(6))
    batches = list(zip(x.split(batch), y.split(batch), strict=True))
    return Task.classification(calibration=batches, validation=batches[::-1])


def collapsed(model: nn.Module, method: Tlc, names: Iterable[str], task: Task) -> nn.Module:
    """A copy with modules in place of some activations."""
    normals = method.normals(model, find_activations(model, task), task)
    changed = copy.deepcopy(model)
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(changed.get_submodule(owner), attribute, Sides(normals[name].on))
    return changed


def loss_of(model: nn.Module, task: Task, batches: int = 1) -> float:
    chosen = list(task.validation or ())[:batches]
    with torch.no_grad():
        return sum(float(F.cross_entropy(model(x), y)) for x, y in chosen) / len(chosen)


def scored(method: Tlc, model: nn.Module, task: Task) -> Scores:
    return methods.score(model, find_activations(model, task), task, method)


@pytest.mark.parametrize("batches", [1, 3])
def test_a_trial_is_the_loss_of_the_network_with_the_activation_replaced(batches: int) -> None:
    model, task, method = net(), task_of(), Tlc(ranking="trial", batches=batches)
    with untouched(model):
        gaps = scored(method, model, task).values
    assert tuple(gaps) == NAMES
    for name, gap in gaps.items():
        wanted = loss_of(collapsed(model, method, [name], task), task, batches) - loss_of(model, task, batches)
        assert float(gap) == pytest.approx(wanted, rel=1e-9, abs=1e-14)
        assert wanted != 0.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_ones_go_together_as_long_as_the_loss_does_not_rise(seed: int) -> None:
    model, task, method = net(), task_of(), Tlc(ranking="trial")
    nn.init.normal_(model[3][3].weight, generator=torch.Generator().manual_seed(seed))
    sites = find_activations(model, task)
    scores = methods.score(model, sites, task, method)
    order = sorted(scores.values, key=lambda name: float(scores.values[name]))
    assert float(scores.values[order[0]]) < 0
    fits = [
        loss_of(collapsed(model, method, order[:number], task), task) <= loss_of(model, task)
        for number in range(1, len(order) + 1)
    ]
    wanted = fits.index(False) if False in fits else len(order)
    assert list(method.together(model, sites, task, scores)) == order[:wanted]
    one_further = Tlc(ranking="trial", one_further=True).together(model, sites, task, scores)
    assert list(one_further) == order[: wanted + 1]


def test_where_every_trial_costs_something_the_cheapest_goes_alone() -> None:
    model, task = net(), task_of()
    exact = [(x, model(x).detach()) for x, _ in task.validation or ()]
    sure = Task.regression(calibration=exact, validation=exact)
    sites, method = find_activations(model, sure), Tlc(ranking="trial", one_further=True)
    scores = methods.score(model, sites, sure, method)
    assert all(float(gap) > 0 for gap in scores.values.values())
    cheapest = min(scores.values, key=lambda name: float(scores.values[name]))
    assert method.together(model, sites, sure, scores) == (cheapest,)


def test_the_closed_form_takes_one_at_a_time() -> None:
    model, task = net(), task_of()
    scores = scored(Tlc(), model, task)
    lowest = min(scores.values, key=lambda name: float(scores.values[name]))
    assert Tlc().together(model, find_activations(model, task), task, scores) == (lowest,)


def test_behind_a_sum_their_code_takes_the_norm_before_it_and_we_measure() -> None:
    model, task = net(), task_of()
    sites = find_activations(model, task)
    theirs = Tlc(statistic="norm").normals(model, sites, task)
    assert torch.equal(theirs["2.out"].mean, model[2].scale.bias)
    assert torch.equal(theirs["2.out"].deviation, model[2].scale.weight.abs())
    x = torch.cat([x for x, _ in task.calibration or ()])
    y = model[1](model[0](x))
    block = model[2]
    total = (block.scale(block.last(block.norm(block.first(y)).relu())) + y).detach()
    ours = Tlc().normals(model, sites, task)
    torch.testing.assert_close(ours["2.out"].mean, total.mean((0, 2, 3)), rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(ours["2.out"].deviation, total.transpose(0, 1).flatten(1).std(1, correction=0))
    for found in (ours, theirs):
        assert torch.equal(found["2.act"].mean, model[2].norm.bias)
        torch.testing.assert_close(found["1"].mean, model[0](x).mean((0, 2, 3)).detach(), rtol=1e-11, atol=1e-13)


def test_the_error_is_how_often_normal_numbers_are_on_the_other_side() -> None:
    mean, deviation = torch.tensor([0.0, 0.5, -1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 2.0, 0.5]).double()
    grid = torch.special.ndtri(torch.linspace(1e-6, 1 - 1e-6, 100_001, dtype=torch.float64))
    values = mean + deviation * grid[:, None]
    wrong = ((values > 0) != (mean > 0)).double().mean(0)
    torch.testing.assert_close(Normal(mean, deviation).error, wrong, rtol=0.0, atol=1e-4)


def test_a_norm_that_scales_by_nothing_is_a_step() -> None:
    still = Normal(torch.tensor([0.5, -0.5, 0.0]).double(), torch.zeros(3).double())
    assert still.error.tolist() == [0.0, 0.0, 0.0]
    assert still.on.tolist() == [True, False, False]


def test_where_norms_feed_all_activations_no_data_is_needed() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    sites = find_activations(model, torch.randn(4, 3))
    assert methods.score(model, sites, Task.classification(), "tlc").values["2"].item() == pytest.approx(2.0)  # 4 · 1/2


def test_a_trial_needs_validation_data() -> None:
    model, task = net(), task_of()
    without = Task.classification(calibration=task.calibration)
    with pytest.raises(DataError, match="no validation data"):
        methods.score(model, find_activations(model, task), without, Tlc(ranking="trial"))


class Bounded(nn.Module):
    """Takes the logarithm of one more than what a rectifier gives, and then of what another gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)
        self.free, self.head = nn.ReLU(), nn.Linear(1, 2)
        for layer, bias in ((self.first, 50.0), (self.last, 0.5)):
            nn.init.constant_(layer.weight, 1.0 if layer is self.first else -1e-2)
            nn.init.constant_(layer.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.free(self.last(self.act(self.first(x))))
        return self.head(inner) + (1e-3 + inner).log()


def test_a_candidate_whose_loss_is_not_finite_is_refused_and_named(caplog: pytest.LogCaptureFixture) -> None:
    model, y = Bounded().double(), torch.zeros(8, dtype=torch.long)
    x = torch.linspace(-5, -1, 8, dtype=torch.float64)[:, None]
    far = torch.full((8, 1), 9.0, dtype=torch.float64)  # here what `free` reads is below zero
    task = Task.classification(calibration=[(x, y)], validation=[(far, y)])
    with caplog.at_level(logging.WARNING):
        gaps = methods.score(model, find_activations(model, task), task, Tlc(ranking="trial")).values
    assert math.isinf(float(gaps["free"])) and float(gaps["act"]) == 0.0
    assert "free: collapsed, the loss is not finite" in caplog.text


def test_a_loss_that_is_not_finite_from_the_start_is_refused() -> None:
    model, task = net(), task_of()
    with torch.no_grad():
        model[3][1].bias.fill_(1e3)
        model[3][3].weight[0] = 1e308
    with pytest.raises(DataError, match="before anything is collapsed"):
        scored(Tlc(ranking="trial"), model, task)


def test_without_changes_a_trial_is_the_loss_itself() -> None:
    model, task = net(), task_of()
    trial = trial_on(model, find_activations(model, task), task, batches=2)
    assert trial.loss({}) == pytest.approx(loss_of(model, task, 2), rel=1e-12)
