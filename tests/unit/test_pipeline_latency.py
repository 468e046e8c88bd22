"""A run under a budget of latency: its clock, its rounds, and what it says of the prediction."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from secateur import methods, timing
from secateur.budget import Latency
from secateur.errors import BudgetError
from secateur.pipeline import compress
from secateur.recipe import Recipe, Stage
from secateur.task import Task


class ByWidth(timing.Clock):
    """A clock by which every parameter takes a microsecond."""

    def milliseconds(self, network: nn.Module) -> float:
        return sum(parameter.numel() for parameter in network.parameters()) / 1000


@pytest.fixture(autouse=True)
def analytic(monkeypatch: pytest.MonkeyPatch) -> None:
    def clock_for(model: nn.Module, example: Task, batch_size: int = 1, threads: int = 1) -> timing.Clock:
        table = timing.table.Table(lambda _: 1.0, torch.device("cpu"))
        clock = ByWidth(1.0, batch_size, threads, model, example.example(), table, per_call=0.0, whole=1.0)
        return replace(clock, original=clock.now())

    monkeypatch.setattr("secateur.pipeline.clocks.clock_for", clock_for)
    monkeypatch.setattr("secateur.measurement.latency._SECONDS", 0.0)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 2))


def task() -> Task:
    return Task.classification(train=[(torch.randn(8, 4), torch.arange(8) % 2)])


def stage(budget: Latency, rounds: int = 1) -> Stage:
    return Stage(methods.get("magnitude"), budget, rounds=rounds, recovery=None, compensate="none")


@pytest.mark.parametrize("budget", [Latency(0.4, batch_size=3), Latency(0.6, "ms")])
def test_the_network_keeps_to_the_limit_after_all_rounds(budget: Latency) -> None:
    model = net()
    whole = sum(parameter.numel() for parameter in model.parameters())
    result = compress(model, task(), Recipe((stage(budget, rounds=2),)))
    limit = budget.limit * whole if budget.unit == "x" else budget.limit * 1000
    assert 0.85 * limit < result.final.parameters <= limit


def test_the_result_says_what_was_predicted_and_what_measured() -> None:
    result = compress(net(), task(), Recipe((stage(Latency(0.4, batch_size=3, threads=2)),)))
    (note,) = [note for note in result.notes if note.startswith("latency")]
    assert note.startswith("latency (3 rows, 2 threads): 0.")
    assert "predicted" in note and "measured" in note


def test_a_method_of_layers_refuses_it() -> None:
    layers = Stage(methods.get("activation_std"), Latency(0.5), recovery=None)
    if layers.method.granularity == "layer":
        with pytest.raises(BudgetError, match="Latency: is for methods of units"):
            compress(net(), task(), Recipe((layers,)))
