"""What can be looked up: certificates, pinned units, notes, settings, versions."""

import json
from collections.abc import Iterator
from typing import Any

from secateur.plan import Certificate
from secateur.report import figures
from secateur.report.markup import Html, Row, badge, section, table, tag
from secateur.report.summary import is_proven
from secateur.result import Result, Round

DEEPEST = 4


def exactness(result: Result[Any]) -> Html:
    """The certificate of every cut."""
    found = [one for one in result.rounds if one.plan.removed or one.plan.certificate]
    if not found:
        return section(
            "exactness", "Exactness", tag("p", "Nothing was cut, so there is nothing to prove.", class_="missing")
        )
    intro = "A cut is exact when the smaller network puts out what the original does with the same units silenced."
    columns = ("Round", "Verdict", "Largest difference", "Relative", "Allowed, relative", "Type", "On")
    rows = (_proof(one, one.plan.certificate) for one in found)
    return section("exactness", "Exactness", table("Certificates", columns, rows, numeric=(2, 3, 4)), intro=intro)


def pinned(result: Result[Any]) -> Html:
    """Units that cannot go, and the operator that holds them."""
    if not result.pinned:
        return section("pinned", "Pinned units", tag("p", "No unit was pinned.", class_="missing"))
    rows = (Row((name, f"{units:,}", why)) for name, units, why in result.pinned)
    body = table("Pinned units", ("Where", "Units", "Held by"), rows, numeric=(1,))
    return section(
        "pinned",
        "Pinned units",
        body,
        intro="These units always stay; beside them stands the operator that holds them.",
    )


def notes(result: Result[Any]) -> Html:
    """What the run had to say."""
    if not result.notes:
        return section("notes", "Notes", tag("p", "None.", class_="missing"))
    return section("notes", "Notes", tag("ul", *(tag("li", note) for note in result.notes)))


def settings(result: Result[Any]) -> Html:
    """Every setting, nested ones by their path, and the versions."""
    plain = {name: value for name, value in result.settings.items() if name != "search"}  # has a section of its own
    chosen = table("Settings", ("Setting", "Value"), (Row(pair) for pair in flat("", plain, 0)))
    versions = table("Versions", ("Package", "Version"), (Row(pair) for pair in result.versions.items()))
    missing = tag("p", "Not recorded.", class_="missing")
    columns = (
        tag("div", tag("h3", "Settings"), chosen if result.settings else missing),
        tag("div", tag("h3", "Versions"), versions if result.versions else missing),
    )
    return section("settings", "Settings and versions", tag("div", *columns, class_="columns"))


def _proof(one: Round, certificate: Certificate | None) -> Row:
    if certificate is None:
        blanks = (figures.NOTHING,) * 4
        return Row((str(one.number), badge("plain", "not checked"), *blanks, figures.NOTHING))
    verdict = badge("good", "exact") if is_proven(certificate) else badge("bad", "not exact")
    numbers = certificate.max_difference, certificate.relative_difference, certificate.tolerance
    shown = (figures.score(number) for number in numbers)
    return Row((str(one.number), verdict, *shown, certificate.dtype, certificate.inputs))


def flat(path: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Leaves of nested settings with their paths; what lies deeper than anyone reads stays JSON."""
    match value:
        case dict() if value and depth < DEEPEST:
            for key, item in value.items():
                yield from flat(f"{path}.{key}" if path else str(key), item, depth + 1)
        case list() if depth < DEEPEST and any(isinstance(item, dict | list) for item in value):
            for index, item in enumerate(value, 1):
                yield from flat(f"{path}[{index}]", item, depth + 1)
        case list():
            yield path, ", ".join(map(_leaf, value)) or "none"
        case _:
            yield path, _leaf(value)


def _leaf(value: Any) -> str:
    match value:
        case None:
            return "none"
        case True | False:
            return "yes" if value else "no"
        case str():
            return value
        case float():
            return figures.score(value)
    return json.dumps(value)
