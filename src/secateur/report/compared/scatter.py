"""Quality over cost as inline SVG: a mark for each combination, the untouched network, and the Pareto front."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.report import figures
from secateur.report.charts import levels
from secateur.report.compared.points import Point, front
from secateur.report.markup import Html, tag

WIDTH, PLOT = 380.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 12.0, 42.0
MARK, REACH = 5.0, 12.0  # half the width of a mark, and of what answers to a finger
BESIDE, STEPS = 9.0, 2  # from one mark to the next, where they would cover each other, and how often at most
STRIP = 26.0  # for what is far below all others
FAR = 4.0  # how many times further below the untouched network than the median that is

_CORNERS = {  # of marks, around (0, 0)
    1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    2: ((0.0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    3: ((0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)),
    4: ((0.0, 1.15), (1.1, -0.85), (-1.1, -0.85)),
    5: ((-0.6, -1.0), (0.6, -1.0), (1.15, 0.0), (0.6, 1.0), (-0.6, 1.0), (-1.15, 0.0)),
    6: ((-1.15, 0.0), (0.85, -1.1), (0.85, 1.1)),
    7: ((1.15, 0.0), (-0.85, -1.1), (-0.85, 1.1)),
}


@dataclass(frozen=True)
class Axes:
    """The box of a plot, in units of the data."""

    right: float
    low: float
    high: float
    has_strip: bool

    def x(self, share: float) -> float:
        """Where a cost lies."""
        return LEFT + (WIDTH - LEFT - RIGHT) * share / self.right

    def y(self, value: float) -> float:
        """Where a quality lies; what is far below lies in the strip."""
        if value < self.low:
            return TOP + PLOT - STRIP / 2
        return TOP + self.height * (self.high - value) / (self.high - self.low)

    @property
    def height(self) -> float:
        """Of the plot without the strip."""
        return PLOT - STRIP * self.has_strip


@dataclass(frozen=True)
class Seat:
    """A point and where its mark is drawn."""

    point: Point
    x: float
    y: float


def scatter(title: str, found: Sequence[Point], untouched: float, quality: str) -> Html:
    """A plot, with a text in its place for who cannot see it; each mark is a button."""
    line = front(found, untouched)
    axes, heights = _axes(found, untouched)
    seats = _seated(axes, found)
    drawing = (
        *_grid(axes, heights),
        tag("text", f"{title}, share of the untouched", x=(LEFT + WIDTH - RIGHT) / 2, y=TOP + PLOT + 36,
            text_anchor="middle"),
        _front(axes, line),
        *(_deviation(axes, seat) for seat in seats if seat.point.deviation),
        _untouched(axes, untouched, quality),
        *(_mark(seat, title, quality, is_first=number == 0) for number, seat in enumerate(seats)),
    )  # fmt: skip
    said = f"{quality} over {title}. {_described(found, line, untouched)}"
    height = TOP + PLOT + BOTTOM
    picture = tag("svg", *drawing, viewBox=f"0 0 {WIDTH:g} {height:g}", role="group", aria_label=said)
    save = tag("button", "Save as PNG", type="button", class_="save", data_name=f"{quality} over {title}")
    caption = tag("figcaption", tag("span", f"{quality} over {title}", class_="title"))
    return tag("figure", caption, picture, save, class_="chart scatter")


def mark(look: int, x: float, y: float, half: float = MARK) -> Html:
    """The shape of a look."""
    if look not in _CORNERS:
        return tag("circle", cx=x, cy=y, r=half, class_="mark")
    corners = " ".join(f"{x + half * dx:.1f},{y + half * dy:.1f}" for dx, dy in _CORNERS[look])
    return tag("polygon", points=corners, class_="mark")


def _axes(found: Sequence[Point], untouched: float) -> tuple[Axes, list[float]]:
    """The box, in which a few that are far below all others take no room, and the heights of its lines."""
    values = [untouched, *(edge for point in found for edge in _edges(point))]
    low = untouched - FAR * max(untouched - statistics.median(point.y for point in found), 0.5)
    has_strip = any(point.y < low for point in found)
    lowest = min((value for value in values if value >= low), default=low) if has_strip else min(values)
    heights = levels(lowest, max(values))
    return Axes(1.05 * max(1.0, *(point.x for point in found), 0.0), heights[0], heights[-1], has_strip), heights


def _seated(axes: Axes, found: Sequence[Point]) -> list[Seat]:
    """Where the marks go, the best first: those that would cover another stand a little beside it."""
    seats: list[Seat] = []
    for point in sorted(found, key=lambda one: (not one.is_best, -one.y)):
        x, y = axes.x(point.x), axes.y(point.y)
        places = [x + sign * BESIDE * step for step in range(STEPS + 1) for sign in (1, -1)]
        seats.append(Seat(point, max(places, key=lambda place: _room(seats, place, y)), y))
    return seats


def _room(seats: Sequence[Seat], x: float, y: float) -> float:
    """How far the next mark is, as far as it matters; of equal places the first is taken."""
    return min([BESIDE, *(math.hypot(x - one.x, y - one.y) for one in seats)])


def _edges(point: Point) -> tuple[float, float]:
    reach = point.deviation or 0.0
    return point.y - reach, point.y + reach


def _grid(axes: Axes, heights: Sequence[float]) -> list[Html]:
    parts: list[Html] = []
    for value in heights:
        y = axes.y(value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", figures.score(value), x=LEFT - 8, y=y + 4, text_anchor="end"))
    if axes.has_strip:
        y = TOP + PLOT - STRIP
        parts.append(tag("rect", x=LEFT, y=y, width=WIDTH - LEFT - RIGHT, height=STRIP, class_="strip"))
        parts.append(tag("text", "lower", x=LEFT - 8, y=y + STRIP / 2 + 4, text_anchor="end"))
    step = next(step for step in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, math.inf) if axes.right / step <= 5)
    base = TOP + PLOT
    for number in range(int(axes.right / step) + 1 if math.isfinite(step) else 0):
        x = axes.x(number * step)
        parts.append(tag("line", x1=x, x2=x, y1=TOP, y2=base, class_="grid"))
        parts.append(tag("text", figures.percent(number * step), x=x, y=base + 17, text_anchor="middle"))
    return parts


def _front(axes: Axes, line: Sequence[tuple[float, float]]) -> Html:
    """Steps: up to the next better network, the best so far is what a cost buys."""
    corners: list[str] = []
    for number, (x, y) in enumerate(line):
        if number:
            corners.append(f"{axes.x(x):.1f},{axes.y(line[number - 1][1]):.1f}")
        corners.append(f"{axes.x(x):.1f},{axes.y(y):.1f}")
    return tag("polyline", points=" ".join(corners), class_="front")


def _deviation(axes: Axes, seat: Seat) -> Html:
    low, high = (axes.y(edge) for edge in _edges(seat.point))
    return tag("line", x1=seat.x, x2=seat.x, y1=low, y2=high, class_=f"deviation m{seat.point.look}")


def _untouched(axes: Axes, value: float, quality: str) -> Html:
    x, y = axes.x(1.0), axes.y(value)
    cross = "".join(f"M{x - dx:.1f} {y - dy:.1f}L{x + dx:.1f} {y + dy:.1f}" for dx, dy in ((5, 5), (5, -5), (7, 0)))
    tip = f"untouched: {quality} {value:.2f}"
    return tag("g", tag("path", d=cross, class_="untouched"), tag("circle", cx=x, cy=y, r=REACH, class_="hit"),
               data_tip=tip, role="img", aria_label=tip)  # fmt: skip


def _mark(seat: Seat, title: str, quality: str, *, is_first: bool) -> Html:
    point, x, y = seat.point, seat.x, seat.y
    spread = "" if point.deviation is None else f" ± {point.deviation:.2f}"
    said = f"{point.name}: {quality} {point.y:.2f}{spread}, {title} {figures.percent(point.x)}"
    ring = (tag("circle", cx=x, cy=y, r=MARK + 4, class_="best"),) if point.is_best else ()
    return tag(
        "g",
        *ring,
        mark(point.look, x, y),
        tag("circle", cx=x, cy=y, r=REACH, class_="hit"),
        class_=f"point m{point.look}{' bare' if point.bare else ''}",
        role="button",
        tabindex="0" if is_first else "-1",
        aria_pressed="false",
        aria_label=said + (", the best under its budget" if point.is_best else ""),
        data_tip=said,
        data_one=str(point.place),
    )


def _described(found: Sequence[Point], line: Sequence[tuple[float, float]], untouched: float) -> str:
    on = {at: "untouched" for at in line if at == (1.0, untouched)}
    on |= {(point.x, point.y): point.name for point in reversed(found) if (point.x, point.y) in line}
    listed = "; ".join(f"{on[at]} ({at[1]:.2f} at {figures.percent(at[0])})" for at in line)
    count = figures.plural(len(found), "combination")
    return f"{count}. On the Pareto front: {listed}. The tables below have all figures."
