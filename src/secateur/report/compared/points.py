"""What the plots of a comparison show: one point for each combination that finished."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from secateur.comparison import Comparison, Standing
from secateur.report.compared.words import in_short

Cost = Literal["macs", "parameters", "latency"]

SHAPES = 8


@dataclass(frozen=True)
class Point:
    """A combination: `x` is its cost as a share of the untouched network's, `y` its quality.

    `place` is its number in the page, `look` that of its method; it is `bare` where nothing followed the cut.
    """

    place: int
    name: str
    x: float
    y: float
    deviation: float | None
    look: int
    bare: bool
    is_best: bool


def numbered(comparison: Comparison) -> Iterator[tuple[int, str, int, Standing]]:
    """Every combination with its number, its budget and its rank (from 0) under it."""
    number = 0
    for ranking in comparison.rankings:
        for rank, standing in enumerate(ranking.standings):
            yield number, ranking.budget, rank, standing
            number += 1


def looks(comparison: Comparison) -> dict[str, int]:
    """The methods in the order they were given, each with the number of its look."""
    methods = dict.fromkeys(trial.cell.method for trial in comparison.trials)
    return {method: number % SHAPES for number, method in enumerate(methods)}


def points(comparison: Comparison, cost: Cost, figure: str) -> tuple[Point, ...]:
    """The points of one plot."""
    look = looks(comparison)
    return tuple(
        Point(
            place=number,
            name=f"{in_short(one.method, one.compensate, one.epochs)}, {budget}",
            x=share,
            y=one.quality[figure].mean,
            deviation=one.quality[figure].deviation,
            look=look[one.method],
            bare=one.compensate == "none" and not one.epochs,
            is_best=rank == 0,
        )
        for number, budget, rank, one in numbered(comparison)
        if one.quality and (share := _share(comparison, one, cost)) is not None
    )


def front(found: Sequence[Point], untouched: float) -> tuple[tuple[float, float], ...]:
    """The places, cheapest first, at which nothing as cheap is better; the untouched network may be the last."""
    line: list[tuple[float, float]] = []
    for x, y in sorted([*((point.x, point.y) for point in found), (1.0, untouched)], key=lambda at: (at[0], -at[1])):
        if not line or y > line[-1][1]:
            line.append((x, y))
    return tuple(line)


def _share(comparison: Comparison, one: Standing, cost: Cost) -> float | None:
    whole = comparison.untouched
    match cost:
        case "macs":
            return None if one.macs is None or not whole.macs else one.macs / whole.macs
        case "parameters":
            return None if one.parameters is None or not whole.parameters else one.parameters / whole.parameters
        case "latency":
            return one.latency
