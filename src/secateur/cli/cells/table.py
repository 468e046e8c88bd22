"""A comparison, as the terminal shows it."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from secateur.cli.cells.whole import Done
from secateur.cli.tables import Cell, lines, table
from secateur.cli.words import Words
from secateur.comparing.folder import PAGE
from secateur.comparison import Comparison, Ranking, Standing
from secateur.report import figures
from secateur.report.compared.tables import qualities
from secateur.report.compared.words import count, failures, in_short, latency, spread
from secateur.report.outcome import quality_name

_BEST = "bold green"


def tables(done: Done) -> list[RenderableType]:
    """A table for each budget, the best first; what failed, and where the files are."""
    found = done.comparison
    shown: list[RenderableType] = []
    for ranking in found.rankings:
        shown += [_block(ranking, found), Text(f" {ranking.verdict}\n")]
    seeds = "± is one standard deviation over n seeds; where nothing is random, n = 1. Time is the latency of one row."
    notes = [*found.notes, seeds]
    if done.known:
        notes.append(f"{figures.plural(done.known, 'cell')} of {len(found.trials)} were finished before.")
    for heading, texts in (("Failed", failures(found)), ("Notes", notes), ("Files", _files(done))):
        if texts:
            shown.append(lines(heading, texts))
    return shown


def _block(ranking: Ranking, found: Comparison) -> RenderableType:
    names = qualities(found)
    titles = [quality_name(name).capitalize().replace(" ", "\n", 1) for name in names]
    columns = ("", "", *titles, "n", "MACs", "Params", "Time")
    rows = [_untouched(found, names), *_rows(ranking, found, names)]
    return table(ranking.budget, columns, rows, numeric=range(2, len(columns)), whole=(0,))


def _untouched(found: Comparison, names: list[str]) -> tuple[Cell, ...]:
    one = found.untouched
    quality = (f"{one.quality[name]:.2f}" for name in names)
    time = figures.milliseconds(one.latency[0].median_ms)
    return "", "untouched", *quality, "", figures.short(one.macs), figures.short(one.parameters), time


def _rows(ranking: Ranking, found: Comparison, names: list[str]) -> Iterator[tuple[Cell, ...]]:
    for place, one in enumerate(ranking.standings):
        style = _BEST if place == 0 and one.quality else ""
        name = in_short(one.method, one.compensate, one.epochs)
        cells = (Text(cell, style=style) for cell in _figures(one, found, names))
        yield Text(_mark(place, one), style=style), Words(name, style), *cells


def _mark(place: int, one: Standing) -> str:
    return "✗" if not one.quality else "★" if place == 0 else ""


def _figures(one: Standing, found: Comparison, names: list[str]) -> tuple[str, ...]:
    if one.macs is None or one.parameters is None:
        return (*["failed"] * len(names), count(one), *[figures.NOTHING] * 3)
    costs = (one.macs / found.untouched.macs, one.parameters / found.untouched.parameters)
    quality = (spread(one.quality[name]) for name in names)
    return *quality, count(one), *(figures.percent(cost) for cost in costs), latency(one)


def _files(done: Done) -> list[str]:
    places = [Path(path) for path in done.files.values()]
    return [f"{places[0].parent}: {', '.join(place.name for place in places)}", f"open {done.files[PAGE]} in a browser"]
