"""The whole page: sections in the order a reader needs them, styles, script and data inside one file."""

import base64
import hashlib
import json
import math
from importlib.resources import files
from string import Template
from typing import Any

from secateur.report.distributions import distributions
from secateur.report.facts import exactness, notes, pinned, settings
from secateur.report.folds import folds
from secateur.report.markup import Html, joined, tag
from secateur.report.steadiness import steadiness
from secateur.report.steps import steps
from secateur.report.summary import summary
from secateur.report.training import training
from secateur.report.units import units
from secateur.report.widths import widths
from secateur.result import Result

CONTENTS = (
    ("widths", "Widths"),
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
    main = (
        summary(result),
        widths(result),
        steps(result),
        distributions(result),
        steadiness(result),
        table,
        folds(result),
        training(result),
        exactness(result),
        pinned(result),
        notes(result),
        settings(result),
    )
    script = _asset("page.js")
    return Template(_asset("page.html")).substitute(
        title=tag("title", f"Compression report: {result.method}").text,
        style=_asset("page.css"),
        contents=joined(tag("a", name, href=f"#{identity}") for identity, name in _contents(result)).text,
        main=joined(main).text,
        data=embedded(data).text,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _contents(result: Result[Any]) -> list[tuple[str, str]]:
    """The sections that the page has."""
    is_tried = any(one.halves for one in result.rounds)
    return [each for each in CONTENTS if is_tried or each[0] != "stability"]


def embedded(data: dict[str, Any]) -> Html:
    """Data as JSON that cannot end the script element it stands in; what is not finite becomes text."""
    text = json.dumps({key: [_finite(item) for item in column] for key, column in data.items()}, separators=(",", ":"))
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Html(f'<script type="application/json" id="unit-data">{safe}</script>')


def _finite(item: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as the text that JavaScript's Number() reads."""
    if isinstance(item, tuple | list):
        return [_finite(each) for each in item]
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
    return item


def _asset(name: str) -> str:
    return files("secateur.report").joinpath(name).read_text(encoding="utf-8")
