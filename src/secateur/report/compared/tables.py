"""The tables of a comparison's page: one for each budget, of what failed, and of every cell."""

import math
from typing import Any

from secateur.comparison import Comparison, Ranking, Standing, Trial
from secateur.report import figures
from secateur.report.compared.points import numbered
from secateur.report.compared.words import count, in_short, latency, spread
from secateur.report.markup import Content, Html, Row, badge, joined, section, table, tag
from secateur.report.outcome import quality_name
from secateur.result import TEST


def blocks(comparison: Comparison) -> Html:
    """A table for each budget, the untouched network first, then what was tried, best first."""
    numbers = {(budget, rank): number for number, budget, rank, _ in numbered(comparison)}
    parts = [
        tag(
            "div",
            tag("h3", ranking.budget),
            _block(comparison, ranking, [numbers[ranking.budget, rank] for rank in range(len(ranking.standings))]),
            tag("p", ranking.verdict, class_="note verdict"),
            class_="block",
        )
        for ranking in comparison.rankings
    ]
    return section("budgets", "Budget by budget", *parts, intro="Costs are shares of the untouched network's.")


def failed(comparison: Comparison) -> Html:
    """Why what failed did."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for trial in comparison.trials:
        if trial.failure:
            cell = trial.cell
            what = (in_short(cell.method, cell.compensate, cell.epochs), cell.budget, trial.failure)
            rows.setdefault(what, []).append("–" if cell.seed is None else str(cell.seed))
    listed = [Row((what, budget, ", ".join(seeds), why)) for (what, budget, why), seeds in rows.items()]
    intro = "These were refused, or broke. They rank last, and count nowhere else."
    body = table("What failed, and why", ("Combination", "Budget", "Seeds", "Reason"), listed)
    return section("failed", "Failed", body, intro=intro)


def cells(comparison: Comparison) -> dict[str, Any]:
    """Every cell as columns of plain data, for the page's script."""
    names = qualities(comparison)
    rows = [_cell(comparison, trial, names) for trial in comparison.trials]
    return {"qualities": [quality_name(name).capitalize() for name in names], "rows": rows}


def qualities(comparison: Comparison) -> list[str]:
    """The figures of the metric, on validation and on test data, as far as there are any."""
    return [name for name in (comparison.metric, TEST + comparison.metric) if name in comparison.untouched.quality]


def _block(comparison: Comparison, ranking: Ranking, numbers: list[int]) -> Html:
    names = qualities(comparison)
    titles = [title for name in names for title in (quality_name(name).capitalize(), "Change")]
    columns = ("Combination", *titles, "n", "MACs", "Parameters", "Latency")
    rows = [_untouched(comparison, names)]
    rows += [
        _row(comparison, standing, names, number, is_best=rank == 0)
        for rank, (standing, number) in enumerate(zip(ranking.standings, numbers, strict=True))
    ]
    return table(f"What was tried with {ranking.budget}", columns, rows, numeric=range(1, len(columns)))


def _untouched(comparison: Comparison, names: list[str]) -> Row:
    one = comparison.untouched
    quality = [cell for name in names for cell in (f"{one.quality[name]:.2f}", figures.NOTHING)]
    time = figures.milliseconds(one.latency[0].median_ms) if one.latency else figures.NOTHING
    costs = figures.short(one.macs), figures.short(one.parameters), time
    return Row(("untouched", *quality, figures.NOTHING, *costs), "whole")


def _row(comparison: Comparison, one: Standing, names: list[str], number: int, *, is_best: bool) -> Row:
    opener: Content = tag(
        "button", in_short(one.method, one.compensate, one.epochs), type="button", class_="link", data_one=str(number)
    )
    if one.macs is None or one.parameters is None:
        blanks = [figures.NOTHING] * (2 * len(names))
        return Row(
            (joined((opener, " ", badge("bad", "failed"))), *blanks, count(one), *[figures.NOTHING] * 3), "dropped"
        )
    whole = comparison.untouched
    quality = [
        cell
        for name in names
        for cell in (spread(one.quality[name]), figures.points(whole.quality[name], one.quality[name].mean)[2])
    ]
    costs = figures.percent(one.macs / whole.macs), figures.percent(one.parameters / whole.parameters), latency(one)
    title = joined((opener, " ", badge("good", "best"))) if is_best else opener
    return Row((title, *quality, count(one), *costs), "first" if is_best else None)


def _cell(comparison: Comparison, trial: Trial, names: list[str]) -> list[Any]:
    cell, whole = trial.cell, comparison.untouched
    about = [cell.budget, cell.method, cell.compensate, cell.epochs, cell.seed]
    if trial.failure:
        return [*about, *[None] * (len(names) + 3), trial.failure]
    end = trial.final
    quality = [value if math.isfinite(value := end.quality[name]) else None for name in names]
    time = trial.timings[0].share if trial.timings else None
    return [*about, *quality, end.macs / whole.macs, end.parameters / whole.parameters, time, ""]
