"""The table of every unit: the controls, and the columns from which the page draws the visible rows."""

from typing import Any

from secateur.report.fates import Fate, Reason, fates
from secateur.report.markup import Html, section, tag
from secateur.result import Result

KEPT = -1


def units(result: Result[Any]) -> tuple[Html, dict[str, list[Any]]]:
    """The section with the empty table, and the data that fills it."""
    found, remarks = fates(result)
    removed = sum(fate.reason is not None for fate in found)
    notes = [tag("p", remark, class_="note") for remark in remarks]
    intro = (
        f"{removed:,} removed, {len(found) - removed:,} kept. “Unit” is the number in the original network, “now” the "
        "number in the final one; rank 0 is the lowest score of its site."
    )
    without_script = tag("noscript", tag("p", "This table needs JavaScript.", class_="missing"))
    body = (_controls(), tag("div", id="unit-table"), *notes, without_script)
    return section("units", "Every unit", *body, intro=intro), _columns(found)


def _columns(found: tuple[Fate, ...]) -> dict[str, list[Any]]:
    """One list per column; `site` and `reason` point into lists of their own, a `reason` of `KEPT` at none."""
    names = {name: index for index, name in enumerate(dict.fromkeys(fate.site for fate in found))}
    reasons: dict[int, tuple[int, Reason]] = {}
    for fate in found:
        if fate.reason is not None:
            reasons.setdefault(id(fate.reason), (len(reasons), fate.reason))
    return {
        "sites": list(names),
        "reasons": [(why.round, why.threshold, why.with_it, why.taken_over_by) for _, why in reasons.values()],
        "site": [names[fate.site] for fate in found],
        "unit": [fate.unit for fate in found],
        "now": [fate.now for fate in found],
        "score": [None if fate.score is None else float(f"{fate.score:.6g}") for fate in found],
        "rank": [fate.rank for fate in found],
        "reason": [KEPT if fate.reason is None else reasons[id(fate.reason)][0] for fate in found],
    }


def _controls() -> Html:
    search = tag("input", type="search", id="unit-search", placeholder="site, number, tensor …", autocomplete="off")
    choices = (("gone", "removed"), ("kept", "kept"), ("all", "all"))
    options = (tag("option", text, value=value) for value, text in choices)
    return tag(
        "div",
        tag("label", "Search ", search),
        tag("label", "Show ", tag("select", *options, id="unit-show")),
        tag("output", id="unit-count", aria_live="polite"),
        class_="controls",
    )
