"""The whole page: sections in the order a reader needs them, styles, script and data inside one file."""

import math
from typing import Any

from secateur.report.distributions import distributions
from secateur.report.facts import exactness, notes, pinned, settings
from secateur.report.folds import folds
from secateur.report.layers import layers, of_layers
from secateur.report.markup import Html
from secateur.report.network import network
from secateur.report.searched import is_searched, searched
from secateur.report.shell import asset, embedded, shell
from secateur.report.steadiness import steadiness
from secateur.report.steps import steps
from secateur.report.summary import summary
from secateur.report.training import training
from secateur.report.units import units
from secateur.report.widths import widths
from secateur.result import Result

CONTENTS = (
    ("search", "Search"),
    ("network", "Network"),
    ("widths", "Widths"),
    ("layers", "Layers"),
    ("steps", "Steps"),
    ("scores", "Scores"),
    ("stability", "Stability"),
    ("units", "Units"),
    ("folds", "Compensation"),
    ("recovery", "Recovery"),
    ("exactness", "Exactness"),
    ("pinned", "Pinned"),
    ("notes", "Notes"),
    ("settings", "Settings"),
)


def page(result: Result[Any]) -> str:
    """The report of a result as HTML text."""
    table, data = units(result)
    parts = {
        "search": searched(result),
        "network": network(result),
        "widths": widths(result),
        "layers": layers(result),
        "steps": steps(result),
        "scores": distributions(result),
        "stability": steadiness(result),
        "units": table,
        "folds": folds(result),
        "recovery": training(result),
        "exactness": exactness(result),
        "pinned": pinned(result),
        "notes": notes(result),
        "settings": settings(result),
    }
    left_out = _left_out(result)
    contents = tuple((name, title) for name, title in CONTENTS if name not in left_out)
    main = (summary(result), *(part for name, part in parts.items() if name not in left_out))
    title = f"Compression report: {result.method}"
    return shell(title, contents, main, _embedded(data), style="", script=asset("page.js"))


def _left_out(result: Result[Any]) -> tuple[str, ...]:
    """The sections that this run has nothing for: units or layers that stay, halves, an old run's drawing."""
    has_units = any(one.plan.removed for one in result.rounds)
    is_tried = any(one.halves for one in result.rounds)
    of_units = ("widths", "scores", "units", "exactness", "pinned")
    return (
        *(() if is_searched(result) else ("search",)),
        *(() if result.blocks else ("network",)),
        *(() if is_tried else ("stability",)),
        *(() if of_layers(result) else ("layers",)),
        *(of_units if of_layers(result) and not has_units else ()),
    )


def _embedded(data: dict[str, Any]) -> Html:
    """Columns as JSON; what is not finite becomes text."""
    return embedded("unit-data", {key: [_finite(item) for item in column] for key, column in data.items()})


def _finite(item: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as the text that JavaScript's Number() reads."""
    if isinstance(item, tuple | list):
        return [_finite(each) for each in item]
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
    return item
