"""How the scores of every site lie, on one axis for all: a ridge for each, plain and logarithmic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from secateur.report import figures
from secateur.report.bins import DECADES
from secateur.report.markup import Html, tag

WIDTH, HEIGHT = 240, 30
FEWEST, MOST = 12, 68  # bins
TICKS = 3
SMOOTH = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0  # a little less ragged than the counts

Scores = Float64[ndarray, " units"]


@dataclass(frozen=True)
class Axis:
    """From where to where scores are drawn; what is smaller stands at the left end."""

    low: float
    high: float
    log: bool

    def place(self, scores: Scores) -> Scores:
        """Where scores lie, from 0 to 1."""
        if self.low >= self.high:
            return np.full(len(scores), 0.5)
        clipped = np.clip(scores, self.low, self.high)
        if self.log:
            return np.log(clipped / self.low) / math.log(self.high / self.low)
        return (clipped / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves: the whole may be too large

    def at(self, share: float) -> float:
        """The score at a place."""
        if self.log:
            return math.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)
        return self.low * (1 - share) + self.high * share


def axes(scores: Sequence[Scores]) -> tuple[Axis, ...]:
    """The plain axis of all scores, and the logarithmic one where they allow it."""
    every = np.concatenate([np.zeros(0), *scores])
    finite = every[np.isfinite(every)]
    if not len(finite):
        return (Axis(0.0, 0.0, log=False),)
    low, high = float(finite.min()), float(finite.max())
    plain = Axis(low, high, log=False)
    above = finite[finite > 0]
    if low < 0 or len(np.unique(above)) < 2:
        return (plain,)
    return plain, Axis(max(float(above.min()), high / 10.0**DECADES), high, log=True)


def is_skewed(scores: Sequence[Scores]) -> bool:
    """Whether half of the sites lie in the lowest tenth of the plain axis."""
    axis = axes(scores)[0]
    medians = [float(np.median(axis.place(each))) for each in scores if np.isfinite(each).all() and len(each)]
    return bool(medians) and float(np.median(medians)) < 0.1


def ridge(name: str, scores: Scores, axis: Axis) -> Html:
    """The scores of one site, with a line at their median."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return tag("p", "No score is finite.", class_="missing")
    places = axis.place(finite)
    bins = min(MOST, max(FEWEST, math.isqrt(16 * len(finite))))
    counts = np.bincount(np.minimum(places * bins, bins - 1).astype(int), minlength=bins)
    tall = np.convolve(counts, SMOOTH, "same")
    tall = tall / tall.max() * (HEIGHT - 4)
    xs = (np.arange(bins) + 0.5) / bins * WIDTH
    points = " ".join(f"{x:.0f},{HEIGHT - y:.1f}" for x, y in zip(xs, tall, strict=True))
    quartiles = np.quantile(finite, (0.25, 0.5, 0.75))
    middle = float(axis.place(quartiles[1:2])[0]) * WIDTH
    said = ", ".join(figures.score(float(value)) for value in quartiles)
    drawing = (
        tag("polygon", points=f"0,{HEIGHT} {points} {WIDTH},{HEIGHT}", class_="ridge"),
        tag("line", x1=0, x2=WIDTH, y1=HEIGHT, y2=HEIGHT, class_="axis"),
        tag("line", x1=middle, x2=middle, y1=4, y2=HEIGHT, class_="median"),
    )
    scale = ", logarithmic" if axis.log else ""
    label = f"Scores of {name}{scale}: quartiles {said}"
    tip = f"{figures.plural(len(scores), 'unit')}; a quarter, half and three quarters score up to {said}"
    return tag("svg", *drawing, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, data_tip=tip)


def ticks(axis: Axis) -> Html:
    """The numbers below an axis."""
    shown = [index / (TICKS - 1) for index in range(TICKS)] if axis.low < axis.high else [0.5]
    anchors = {0.0: "start", 1.0: "end"}
    texts = (
        tag("text", figures.three(axis.at(share)), x=share * WIDTH, y=11, text_anchor=anchors.get(share, "middle"))
        for share in shown
    )
    first = "" if not axis.log else " (and below)"
    label = f"Scores from {figures.score(axis.at(0.0))}{first} to {figures.score(axis.at(1.0))}"
    return tag("svg", *texts, viewBox=f"0 0 {WIDTH} 14", role="img", aria_label=label)
