"""Line charts and histograms as inline SVG, coloured by the page's style sheet."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secateur.report.bins import Bins
from secateur.report.markup import Html, joined, tag

WIDTH, PLOT = 380.0, 170.0
LEFT, RIGHT, TOP = 52.0, 14.0, 12.0
STRAIGHT, SLANTED = 26.0, 74.0  # room for the steps' names below the plot
MOST_TICKS = 16
MOST_LETTERS = 44  # more than this do not fit side by side


@dataclass(frozen=True)
class Series:
    """One line; `colour` is 1–4, a missing value is passed over."""

    name: str
    values: tuple[float | None, ...]
    colour: int = 1


@dataclass(frozen=True)
class Frame:
    """The box a chart is drawn in, in units of the data."""

    low: float
    high: float
    count: int

    def x(self, index: float) -> float:
        """Where the point at an index lies."""
        return LEFT + (WIDTH - LEFT - RIGHT) * ((index + 0.5) / max(self.count, 1))

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return TOP + PLOT * (1 - share)


def line_chart(
    label: str, lines: Sequence[Series], ticks: Sequence[str], show: Callable[[float], str], *, from_zero: bool = False
) -> Html:
    """Lines over named steps; a sentence where there is nothing to draw."""
    values = [value for line in lines for value in line.values if value is not None and math.isfinite(value)]
    if not values:
        return tag("p", f"{label}: not measured.", class_="missing")
    steps = levels(min(values + [0.0] * from_zero), max(values))
    frame = Frame(steps[0], steps[-1], len(ticks))
    names, height = _names(frame, ticks)
    drawing = (*_grid(frame, steps, show), *names, *(_line(frame, line, ticks, show) for line in lines))
    described = f"{label}: " + "; ".join(_described(line, show) for line in lines)
    picture = tag("svg", *drawing, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", aria_label=described)
    return tag("figure", tag("figcaption", tag("span", label, class_="title"), _legend(lines)), picture, class_="chart")


def histogram(label: str, bins: Bins, tip: Callable[[int], str]) -> Html:
    """Bars for kept and removed units, with the threshold where there is one."""
    width, height, base = 270.0, 112.0, 90.0
    step = width / len(bins.kept)
    tallest = max(kept + gone for kept, gone in zip(bins.kept, bins.removed, strict=True)) or 1
    bars: list[Html] = []
    for index, (kept, gone) in enumerate(zip(bins.kept, bins.removed, strict=True)):
        tall = [max(2.0, (base - 8) * count / tallest) if count else 0.0 for count in (gone, kept)]
        bars += [
            tag("rect", x=index * step + 0.5, y=top, width=step - 1, height=part, class_=kind)
            for part, top, kind in ((tall[0], base - tall[0], "gone"), (tall[1], base - sum(tall), "kept"))
            if part
        ]
        if kept + gone:
            bars.append(tag("rect", x=index * step, y=0, width=step, height=base, class_="hit", data_tip=tip(index)))
    axis = tag("line", x1=0, x2=width, y1=base, y2=base, class_="axis")
    ends = ((0.0, "start", bins.first), (width, "end", bins.last))
    texts = [tag("text", text, x=x, y=height - 6, text_anchor=anchor) for x, anchor, text in ends]
    line = [] if bins.cut is None else [_threshold(width * bins.cut, base)]
    drawing = (*bars, axis, *texts, *line)
    return tag("svg", *drawing, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def _threshold(x: float, base: float) -> Html:
    return tag("line", x1=x, x2=x, y1=0, y2=base + 6, class_="threshold")


def levels(low: float, high: float) -> list[float]:
    """Round numbers, about five, from at most `low` to at least `high`."""
    if high - low <= max(1e-12 * abs(low), 1e-12 * abs(high), 1e-300):
        margin = 0.05 * abs(low) or 1.0
        low, high = low - margin, high + margin
    rough = high / 4 - low / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _grid(frame: Frame, heights: Sequence[float], show: Callable[[float], str]) -> list[Html]:
    parts: list[Html] = []
    for level in heights:
        y = frame.y(level)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", show(level), x=LEFT - 8, y=y + 4, text_anchor="end"))
    return parts


def _names(frame: Frame, ticks: Sequence[str]) -> tuple[list[Html], float]:
    """The steps' names, slanted where they are long, thinned out where they are many; and the height down to them."""
    every = math.ceil(len(ticks) / MOST_TICKS)
    slanted = max(map(len, ticks)) * len(ticks) / every > MOST_LETTERS
    y = TOP + PLOT + 16
    names: list[Html] = []
    for index in range(0, len(ticks), every):
        x = frame.x(index)
        turn = f"rotate(-38 {x:.1f} {y:.1f})" if slanted else None
        names.append(tag("text", ticks[index], x=x, y=y, text_anchor="end" if slanted else "middle", transform=turn))
    return names, TOP + PLOT + (SLANTED if slanted else STRAIGHT)


def _line(frame: Frame, line: Series, ticks: Sequence[str], show: Callable[[float], str]) -> Html:
    points = [(i, value) for i, value in enumerate(line.values) if value is not None and math.isfinite(value)]
    places = " ".join(f"{frame.x(i):.1f},{frame.y(value):.1f}" for i, value in points)
    marks: list[Html] = []
    for index, value in points:
        tip = f"{ticks[index]}: {line.name} {show(value)}"
        x, y = frame.x(index), frame.y(value)
        marks.append(tag("circle", cx=x, cy=y, r=3.5))
        marks.append(tag("circle", cx=x, cy=y, r=11, class_="hit", data_tip=tip))
    return tag("g", tag("polyline", points=places), *marks, class_=f"line c{line.colour}")


def _described(line: Series, show: Callable[[float], str]) -> str:
    values = [value for value in line.values if value is not None and math.isfinite(value)]
    return f"{line.name} from {show(values[0])} to {show(values[-1])}" if values else f"{line.name} not measured"


def _legend(lines: Sequence[Series]) -> Html:
    return joined(tag("span", line.name, class_=f"key c{line.colour}") for line in lines if len(lines) > 1)
