"""Milliseconds of networks that were never timed: the original's, times what the table of operators says of both."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from secateur.inference import device_of, evaluating
from secateur.measurement.latency import check_positive, measure_latency, of_size, using_threads
from secateur.plan import Plan
from secateur.surgery import apply
from secateur.task import Arguments
from secateur.timing.calls import Call, calls_of
from secateur.timing.places import place_of
from secateur.timing.stopwatch import Stopwatch, stopwatch_on
from secateur.timing.table import Table, read
from secateur.tracing import Example, arguments_of_example


@dataclass(frozen=True)
class Clock:
    """Predicts how long a call takes of networks that came from one, on as many rows and threads.

    `original` is the milliseconds measured of that one; `model` the network that plans are for, at first the same.
    `per_call` is what Python takes for each operator call, `whole` all that the original takes, both in the table's
    unit.
    """

    original: float
    batch_size: int
    threads: int
    model: nn.Module = field(repr=False)
    arguments: Arguments = field(repr=False)
    table: Table = field(repr=False)
    per_call: float = field(repr=False)
    whole: float = field(repr=False)

    def milliseconds(self, network: nn.Module) -> float:
        """What a call of a network is predicted to take; operators that were never timed here are timed now."""
        calls = calls_of(network, self.arguments, self.batch_size)
        return self.original * (_total(self.table, calls, self.threads) + self.per_call * len(calls)) / self.whole

    def now(self) -> float:
        """The predicted milliseconds of `model`."""
        return self.milliseconds(self.model)

    def after(self, plan: Plan) -> float:
        """The predicted milliseconds of `model` without what a plan removes."""
        return self.milliseconds(apply(self.model, plan))

    def on(self, model: nn.Module) -> "Clock":
        """The clock for plans of another network that came from the same original."""
        return replace(self, model=model)


def clock_for(
    model: nn.Module, example: Example, batch_size: int = 1, threads: int = 1, *, path: Path | None = None
) -> Clock:
    """A clock for networks that come from a model: times it, and those of its operators that were never timed here.

    Times are kept in `path`, by default a file in the user's cache folder for this machine, torch, device and number
    of threads.

    Raises:
        SettingsError: the batch size or the number of threads is below 1.
        DataError: the example has no rows.
    """
    check_positive(batch_size=batch_size, threads=threads)
    arguments = arguments_of_example(example)
    device = device_of(model)
    place = path or place_of(device, threads)
    with using_threads(threads):
        stopwatch = stopwatch_on(device, threads)
        table = Table(stopwatch.time, device, place, read(place))
        calls = calls_of(model, arguments, batch_size)
        own = _time_of(model, of_size(arguments, batch_size), stopwatch)
    known = _total(table, calls, threads)
    with using_threads(threads):
        per_call = min(max(own - known, 0.0) / max(len(calls), 1), _overhead(device, stopwatch))
    original = measure_latency(model, example, batch_size, threads=threads).median_ms
    return Clock(original, batch_size, threads, model, arguments, table, per_call, whole=known + per_call * len(calls))


def _total(table: Table, calls: tuple[Call, ...], threads: int) -> float:
    """What the table has of some calls; what is new in it is kept."""
    before = table.measured
    with using_threads(threads), torch.no_grad():
        total = table.total(calls)
    if table.measured > before:
        table.save()
    return total


def _time_of(model: nn.Module, arguments: Arguments, stopwatch: Stopwatch) -> float:
    """What a call of a model takes."""
    with evaluating(model) as predict:
        return stopwatch.time(lambda: predict(arguments))


def _overhead(device: torch.device, stopwatch: Stopwatch) -> float:
    """What Python needs for a module's call beside the operator in it: the most that any call is taken to need."""
    module, nothing = nn.ReLU(), torch.zeros(1, device=device)
    times = (stopwatch.time(work) for work in (lambda: module(nothing), lambda: torch.ops.aten.relu.default(nothing)))
    return max(next(times) - next(times), 0.0)
