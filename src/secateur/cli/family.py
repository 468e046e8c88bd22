"""A family of networks under ever tighter limits, from one scoring."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType

from secateur.cli.runfolder import ORIGINAL, PROGRESS, REPORT, RESULT
from secateur.cli.running import Finished, Job, run
from secateur.cli.screen import Screen
from secateur.cli.tables import Cell, lines, table
from secateur.places import write_text
from secateur.recipe import Recipe, Stage
from secateur.report import figures
from secateur.report.outcome import quality_name
from secateur.report.reading import read
from secateur.searching import Goal
from secateur.searching.goal import Limit

FAMILY = "family.json"


@dataclass(frozen=True)
class Family:
    """What became of every member, by its name."""

    members: Mapping[str, Finished]
    interrupted: bool

    @property
    def data(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {name: one.data for name, one in self.members.items()}


def run_family(job: Job, members: Sequence[tuple[str, Limit]], screen: Screen) -> Family:
    """One run for each member, in a folder of its own; what is trained and scored for the first serves all.

    Raises:
        CompressionError: something is refused; the members that were finished stay.
    """
    assert job.goal is not None
    done: dict[str, Finished] = {}
    for name, limit in members:
        goal = replace(job.goal, goal=Goal(limit))
        recipe = Recipe((Stage(budget=limit),))
        own = replace(job, out=job.out / name, goal=goal, recipe=recipe)
        screen.say(f"{name}:")
        done[name] = _done_before(own) or run(own, screen)
        job = replace(job, shop=done[name].shop or job.shop)
        original = own.out / ORIGINAL
        if original.exists():  # it was trained for the first member
            job = replace(job, given=replace(job.given, weights=original), train=0)
        if done[name].interrupted:
            break
    write_text(job.out / FAMILY, json.dumps({name: _row(one) for name, one in done.items()}, indent=1))
    return Family(done, any(one.interrupted for one in done.values()))


def in_words(family: Family, out: str) -> list[RenderableType]:
    """The members side by side, and where they are."""
    found = {name: _row(one) for name, one in family.members.items()}
    first = next(iter(family.members.values())).result
    quality = quality_name(first.metric)
    before = first.original
    columns = ("", "Parameters", "MACs per row", "Latency, 1 row", quality)
    rows: list[tuple[Cell, ...]] = [
        ("original", *_cells(_figures(before, first.metric), None)),
        *((name, *_cells(row, _figures(before, first.metric))) for name, row in found.items()),
    ]
    where = [f"{out}/{name}: open {REPORT} in a browser" for name in family.members]
    return [table("A family of networks", columns, rows, numeric=(1, 2, 3, 4), whole=(0,)), lines("Files", where)]


def _done_before(job: Job) -> Finished | None:
    """What an earlier run has finished, where it is resumed."""
    if not job.resume or not (job.out / RESULT).exists() or (job.out / PROGRESS).exists():
        return None
    return Finished(read(job.out / RESULT), {RESULT: str(job.out / RESULT)}, interrupted=False)


def _row(one: Finished) -> dict[str, Any]:
    return _figures(one.result.final, one.result.metric)


def _figures(measured: Any, metric: str) -> dict[str, Any]:
    return {
        "parameters": measured.parameters,
        "macs": measured.macs,
        "latency_ms": measured.latency[0].median_ms if measured.latency else None,
        "quality": measured.quality.get(metric),
    }


def _cells(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> tuple[Cell, ...]:
    def cost(name: str) -> str:
        shown = f"{row[name]:,}"
        return shown if before is None else f"{shown} ({figures.change(before[name], row[name])})"

    time = figures.NOTHING if row["latency_ms"] is None else figures.milliseconds(row["latency_ms"])
    points = figures.NOTHING if row["quality"] is None else f"{row['quality']:.2f}"
    return cost("parameters"), cost("macs"), time, points
