"""Scores counted into bins, on a plain or a logarithmic scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from secateur.report import figures

FEWEST, MOST = 8, 36
SKEWED = 20.0  # from here on the largest score leaves half of the units in a twentieth of the picture
DECADES = 6.0  # a logarithmic scale shows no more than this; smaller scores share its first bin


@dataclass(frozen=True)
class Bins:
    """Kept and removed units per bin; `cut` is where the threshold lies (0–1), `edges` are scores."""

    kept: tuple[int, ...]
    removed: tuple[int, ...]
    edges: tuple[float, ...]
    first: str
    last: str
    cut: float | None


def has_logarithms(scores: Sequence[float]) -> bool:
    """Whether a logarithmic scale can show the scores: none is negative, and two of them differ above zero."""
    finite = {value for value in scores if math.isfinite(value)}
    return min(finite, default=-1.0) >= 0 and len(finite - {0.0}) > 1


def is_skewed(scores: Sequence[float]) -> bool:
    """Whether a logarithmic scale shows more: half of the scores lie near zero."""
    finite = [value for value in scores if math.isfinite(value)]
    return has_logarithms(scores) and max(finite) / SKEWED > median(finite)


def binned(
    scores: Sequence[float], removed: Sequence[int], threshold: float | None, *, log: bool = False
) -> Bins | None:
    """Finite scores in bins of equal width, on a logarithmic scale if asked; None where no score is finite."""
    finite = [value for value in scores if math.isfinite(value)]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if log:
        low = max(min((value for value in finite if value > 0), default=high), high / 10.0**DECADES)
    place = _place(low, high, log=log)
    count = min(MOST, max(FEWEST, math.isqrt(4 * len(finite))))
    kept, lost = [0] * count, [0] * count
    gone = set(removed)
    for unit, value in enumerate(scores):
        if math.isfinite(value):
            index = min(count - 1, int(place(value) * count))
            (lost if unit in gone else kept)[index] += 1
    clipped = "≤ " if low > min(finite) else ""
    edges = tuple(_edge(low, high, index / count, log=log) for index in range(count + 1))
    cut = None if threshold is None or not math.isfinite(threshold) else place(threshold)
    return Bins(tuple(kept), tuple(lost), edges, clipped + figures.score(low), figures.score(high), cut)


def _place(low: float, high: float, *, log: bool) -> Callable[[float], float]:
    """From a score to its place between 0 and 1; a single score lies in the middle."""
    if low >= high:
        return lambda value: 0.5 if value == low else float(value > low)
    if log:
        span = math.log(high) - math.log(low)
        return lambda value: _inside((math.log(max(value, low)) - math.log(low)) / span) if span else 0.5
    half = high / 2 - low / 2  # halves, since the whole may be too large for a float
    return lambda value: _inside((value / 2 - low / 2) / half) if half else 0.5


def _edge(low: float, high: float, share: float, *, log: bool) -> float:
    if low >= high:
        return low
    if log:
        return math.exp(math.log(low) * (1 - share) + math.log(high) * share)
    return low * (1 - share) + high * share


def _inside(share: float) -> float:
    return min(1.0, max(0.0, share))
