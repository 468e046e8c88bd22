"""A comparison as CSV: the untouched network, then a row for every cell."""

import csv
import io
from collections.abc import Iterator

from secateur.comparison import Comparison, Trial
from secateur.result import Measurement

_ABOUT = ("budget", "method", "compensation", "epochs", "seed")
_STEPS = ("cut", "compensated", "recovered")
_LEADS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for a formula


def sheet(comparison: Comparison) -> str:
    """The sheet as text; quality after each step is on validation data."""
    names, sizes = list(comparison.untouched.quality), [one.batch_size for one in comparison.untouched.latency]
    steps = [f"{comparison.metric}_after_{step}" for step in _STEPS]
    times = [f"latency_{size}_{unit}" for size in sizes for unit in ("ms", "share")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_ABOUT, *names, *steps, "parameters", "macs", "size_bytes", *times, "seconds", "failure"))
    first = [cell for one in comparison.untouched.latency for cell in (one.median_ms, 1.0)]
    blank = [""] * len(_STEPS)
    whole = comparison.untouched
    writer.writerow(("", "untouched", "", "", "", *_qualities(whole, names), *blank, *_costs(whole), *first, "", ""))
    for trial in comparison.trials:
        writer.writerow([_plain(cell) for cell in _row(trial, names, len(times), comparison.metric)])
    return text.getvalue()


def _row(trial: Trial, names: list[str], times: int, metric: str) -> Iterator[object]:
    cell = trial.cell
    yield from (cell.budget, cell.method, cell.compensate, cell.epochs, "" if cell.seed is None else cell.seed)
    if trial.failure:
        yield from [""] * (len(names) + len(_STEPS) + 3 + times)
    else:
        after = {step.name: step.measurement.quality.get(metric, "") for step in trial.steps}
        yield from _qualities(trial.final, names)
        yield from (after.get(step, "") for step in _STEPS)
        yield from _costs(trial.final)
        found = [part for one in trial.timings for part in (one.own.median_ms, one.share)]
        yield from (*found, *[""] * (times - len(found)))
    yield from (round(trial.seconds, 2), trial.failure)


def _qualities(one: Measurement, names: list[str]) -> tuple[object, ...]:
    return tuple(one.quality.get(name, "") for name in names)


def _costs(one: Measurement) -> tuple[int, int, int]:
    return one.parameters, one.macs, one.size_bytes


def _plain(cell: object) -> object:
    """What a spreadsheet shows as it is, whatever a reason or a name begins with."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_LEADS) else cell
