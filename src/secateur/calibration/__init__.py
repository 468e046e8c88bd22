"""From data to statistics: passes over the calibration data that watch units, forwards or with gradients."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur.calibration.gradients import gate_slopes
from secateur.calibration.merging import Seen, seen_by_all
from secateur.calibration.pairs import check_finite
from secateur.calibration.places import Batch, Places
from secateur.calibration.taps import layers_watched, measured, taps_of
from secateur.errors import DataError, ModelError
from secateur.graph import Operator, Traced
from secateur.homology import Cloud
from secateur.inference import device_of, evaluating
from secateur.padding import Padding, texts_of
from secateur.processes import ALONE
from secateur.result import Event
from secateur.scores import Gates, Look, Points, Tap
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Arguments, Task, rows_in
from secateur.tracing import trace

__all__ = ["Watch", "calibrate", "calibrate_all", "measured", "observe", "watched_layers"]

Watch = Callable[[Event], None] | None
Step = Callable[[Any, Arguments, int], None]
Clouds = dict[str, tuple[Cloud, ...]]


def calibrate(model: nn.Module, sites: Sites, task: Task, look: Look, *, watch: Watch = None) -> dict[str, Any]:
    """For every site, or activation, what is seen there; see `calibrate_all`."""
    return calibrate_all(model, sites, task, [look], watch=watch)[look]


def calibrate_all(
    model: nn.Module, sites: Sites, task: Task, looks: Sequence[Look], *, watch: Watch = None
) -> dict[Look, dict[str, Any]]:
    """For every look, what is seen at every site, or activation.

    One forward pass over the calibration data for all that watch outputs, and one with gradients for all that watch
    gates; memory does not grow with the data, but for looks at points, which are kept. Padding of texts never counts.
    The task's processes take the batches in turns, and all of them get the whole.

    Raises:
        DataError: fewer than two rows of data, or values that are NaN or infinite.
        ModelError: what a look asks for cannot be followed to where a site's units are made or read.
    """
    traced = trace(model, task)
    texts, device = texts_of(traced), device_of(model)
    gates = [look for look in looks if isinstance(look, Gates)]
    outputs = [look for look in looks if not isinstance(look, Gates)]

    def forwards(task: Task) -> tuple[Seen, str]:
        taps = taps_of(traced, sites, outputs)
        mark = _pass(task, lambda _, given, rows: _forward(traced, taps, given, (rows, texts.padding(given))), watch)
        return taps.seen, mark

    def backwards(task: Task) -> tuple[Seen, str]:
        slopes: Seen = {look: {site.name: Moments.empty() for site in sites} for look in gates}
        return slopes, _pass(task, lambda *given: _slopes(traced, sites, task, slopes, given), watch)

    seen: Seen = {}
    with evaluating(model):
        if outputs:
            seen |= seen_by_all(outputs, task, forwards, device)
            check_finite(seen)
        if gates:
            seen |= seen_by_all(gates, task, backwards, device)
    return seen


def observe(
    model: nn.Module, sites: Sites, task: Task, look: Points, see: Callable[[Any, Clouds], None], *, watch: Watch = None
) -> None:
    """Hands every batch, and what a look sees of it at every site, to a function; nothing else is kept.

    Raises:
        DataError: fewer than two rows of data, or maps that are NaN or infinite.
        ModelError: a site's units cannot be followed to what makes them.
    """
    traced = trace(model, task)
    texts = texts_of(traced)

    def step(batch: Any, arguments: Arguments, rows: int) -> None:
        taps = taps_of(traced, sites, [look])
        _forward(traced, taps, arguments, (rows, texts.padding(arguments)))
        see(batch, taps.seen[look])

    with evaluating(model):
        _pass(replace(task, processes=ALONE), step, watch)


def watched_layers(model: nn.Module, sites: Sites, task: Task, tap: Tap) -> dict[str, tuple[str, ...]]:
    """For every site, the weights behind whose layers its units can be watched; none where they cannot."""
    traced = trace(model, task)
    found: dict[str, tuple[str, ...]] = {}
    for site in sites:
        try:
            found[site.name] = layers_watched(traced, site, tap)
        except ModelError:
            found[site.name] = ()
    return found


def _pass(task: Task, step: Step, watch: Watch) -> str:
    """One pass over the calibration data, of which each process looks at every n-th batch; and a mark of the data."""
    rows, mark = 0, 0
    processes = task.processes
    for number, batch in enumerate(task.batches("calibration")):
        arguments = task.arguments(batch)
        found = rows_in(arguments)
        if number % processes.size == processes.rank:
            step(batch, arguments, found)
        if number == 0 and not processes.is_alone:
            mark = _checksum(arguments)
        rows += found
        if watch:
            watch(Event("calibrate", number + 1, _length(task)))
    if rows < 2:
        raise DataError(
            f"the calibration data has {rows} row; statistics need at least two, and hundreds to be of use."
        )
    return f"{rows} rows beginning with {mark}"


def _checksum(arguments: Arguments) -> int:
    """Of all tensors in a model's arguments."""
    args, kwargs = arguments
    tensors = [value.detach().cpu() for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    raw = [value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for value in tensors if value.numel()]
    return zlib.crc32(b"".join(raw))


def _forward(traced: Traced, taps: Places, arguments: Arguments, given: tuple[int, Padding]) -> None:
    rows, padding = given

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        before, after = taps.before.get(node.name, ()), taps.after.get(node.name, ())
        if not before and not after:
            return operator(*args)
        batch = Batch(rows, padding.at(node))
        for see in before:
            see(args, batch)
        value = operator(*args)
        for see in after:
            see(value, batch)
        return value

    traced.run(arguments, around)


def _slopes(
    traced: Traced,
    sites: Sites,
    task: Task,
    seen: dict[Look, dict[str, Any]],
    given: tuple[Any, Arguments, int],
) -> None:
    """Adds the slopes of a batch to what gates have seen, in place."""
    for name, slopes in gate_slopes(traced, sites, task, given).items():
        for look, found in seen.items():
            assert isinstance(look, Gates)
            found[name] = found[name].observe(look.measure(slopes))


def _length(task: Task) -> int:
    """How many batches the calibration data announces; 0 where it does not say."""
    source = task.calibration if task.calibration is not None else task.train
    try:
        return len(source)  # type: ignore[arg-type]
    except TypeError:
        return 0
