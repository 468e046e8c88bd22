"""What was tried where no method was named, and which of it became the network."""

from typing import Any

from secateur.report import figures
from secateur.report.charts import Series, line_chart
from secateur.report.markup import Html, Row, badge, section, table
from secateur.report.outcome import quality_name
from secateur.result import Result

_STATES = {"whole": "", "cut short": "cut short", "refused": "refused"}


def searched(result: Result[Any]) -> Html:
    """How the best candidate came to be found, and every candidate; nothing where a method was named."""
    if not is_searched(result):
        return Html("")
    found: dict[str, Any] = result.settings["search"]
    intro = (
        f"{figures.plural(len(found['tried']), 'candidate')} for {found['goal']}. Each was cut and mended without "
        "training; its distance is how far its outputs then are from the original's, on rows that none was made with. "
        "The nearest went through the whole line, with at most one epoch of training; the best of these on "
        "validation data is the network of this report."
    )
    return section("search", "Search", _course(found["tried"]), _table(found, result.metric), intro=intro)


def is_searched(result: Result[Any]) -> bool:
    """Whether the recipe was searched for, and the search is told of."""
    found = result.settings.get("search")
    return isinstance(found, dict) and set(found) >= {"goal", "tried", "chosen", "macs", "parameters"}


def _course(tried: list[dict[str, Any]]) -> Html:
    """The distance of every candidate, and the smallest so far."""
    distances = tuple(one["distance"] if one["state"] == "whole" else None for one in tried)
    least: list[float | None] = []
    for distance in distances:
        known = [value for value in (*least[-1:], distance) if value is not None]
        least.append(min(known, default=None))
    lines = (Series("each candidate", distances, 2), Series("the nearest so far", tuple(least), 1))
    names = [str(one["number"]) for one in tried]
    return line_chart("Distance from the original's outputs", lines, names, figures.score, from_zero=True)


def _table(found: dict[str, Any], metric: str) -> Html:
    name = quality_name(metric)
    columns = (
        "Candidate",
        "Method",
        "Spread",
        "Layers",
        "MACs left",
        "Parameters left",
        "Time left (predicted)",
        "Distance",
        name,
    )
    rows = (_row(one, found) for one in found["tried"])
    return table("Candidates", (*columns, f"{name}, whole line"), rows, numeric=(2, 3, 4, 5, 6, 7, 8, 9))


def _row(one: dict[str, Any], found: dict[str, Any]) -> Row:
    is_chosen = one["number"] == found["chosen"]
    said = _STATES.get(one["state"], one["state"])
    number = badge("good", f"{one['number']} chosen") if is_chosen else f"{one['number']} {said}".strip()
    left = (one["macs"] / found["macs"], one["parameters"] / found["parameters"]) if one["macs"] else (None, None)
    return Row(
        (
            number,
            one["method"] if one["state"] != "refused" else f"{one['method']}: {one['reason']}",
            "own order" if one.get("own") else figures.percent(one["temper"]),
            str(one["layers"]),
            *(figures.NOTHING if share is None else figures.percent(share) for share in left),
            _time(one.get("predicted_ms"), found.get("milliseconds")),
            figures.score(one["distance"]),
            _points(one["quality"]),
            _points(one["recovered"]),
        ),
        "flagged" if is_chosen else None,
    )


def _points(quality: float | None) -> str:
    return figures.NOTHING if quality is None else f"{quality:.2f}"


def _time(milliseconds: float | None, whole: float | None) -> str:
    return figures.percent(milliseconds / whole) if milliseconds and whole else figures.NOTHING
