"""What a run found, as the terminal shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from secateur.cli.comparing import compared, proven, refused, widths
from secateur.cli.runfolder import REPORT
from secateur.cli.running import Finished
from secateur.cli.tables import lines
from secateur.report import figures
from secateur.report.layers import in_words
from secateur.report.outcome import gone, kept_rounds, quality_name
from secateur.result import TEST, Result, Round, Step


def summary(finished: Finished) -> list[RenderableType]:
    """Before and after, every site, the proof, what was refused, remarks, and where the files are."""
    result = finished.result
    title = f"{result.settings['data']} by {result.method}: {_rounds(result)}"
    shown: list[RenderableType] = [compared(title, result.original, result.final)]
    if result.widths:
        shown.append(widths(result.widths))
    certificates = [one.plan.certificate for one in result.rounds if one.plan.certificate and one.plan.removed]
    if certificates:
        shown.append(lines("Proof", [proven(certificates)]))
    folds = refused((one.number, fold) for one in result.rounds for fold in one.folds)
    for heading, texts in (
        ("Layers", [text for one in kept_rounds(result) for text in _layers(one)]),
        ("Trained from scratch, for comparison", [_control(step, result) for step in result.controls]),
        ("Compensation that its guard did not allow as asked", folds),
        ("Stays whatever the budget", _pinned(result)),
        ("Notes", list(result.notes)),
        ("Files", _files(finished.files)),
    ):
        if texts:
            shown.append(lines(heading, texts))
    return shown


def _layers(one: Round) -> list[str]:
    """A line for every layer that went, one for all the weights that became zero."""
    masked = sum(edit.action == "mask" for edit in one.plan.layers)
    zeros = [f"round {one.number}: zeros in the weights that lead to {figures.plural(masked, 'activation')}"]
    return zeros * (masked > 0) + [in_words(edit) for edit in one.plan.layers if edit.action != "mask"]


def _rounds(result: Result[Any]) -> str:
    kept = sum(one.kept for one in result.rounds)
    return ", ".join([*gone(result), f"{kept} of {figures.plural(len(result.rounds), 'round')} kept"])


def _pinned(result: Result[Any]) -> list[str]:
    """One line for all places that hold as many units for the same reason."""
    places: dict[tuple[int, str], list[str]] = {}
    for name, units, why in result.pinned:
        places.setdefault((units, why), []).append(name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more, each' if names[1:] else ''}: {figures.plural(units, 'unit')}, {why}"
        for (units, why), names in places.items()
    ]


def _control(step: Step, result: Result[Any]) -> str:
    names = [name for name in (result.metric, TEST + result.metric) if name in step.measurement.quality]
    return "the same shape: " + ", ".join(
        f"{quality_name(name)} {step.measurement.quality[name]:.1f}" for name in names
    )


def _files(files: Mapping[str, str]) -> list[str]:
    """The run folder and what is in it, each with its size."""
    places = [Path(path) for path in files.values()]
    sizes = ", ".join(f"{place.name} ({figures.size(place.stat().st_size)})" for place in places)
    return [f"{places[0].parent}: {sizes}", f"open {places[0].with_name(REPORT)} in a browser"]
