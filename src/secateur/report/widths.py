"""Units before and after at every site, and why they went."""

from collections import Counter
from typing import Any

from secateur.plan import Edit
from secateur.report import figures
from secateur.report.markup import Html, Row, joined, section, table, tag
from secateur.report.outcome import kept_rounds
from secateur.result import Result

MOST_NAMES = 3  # more layers than this are counted


def widths(result: Result[Any]) -> Html:
    """A bar per site: what stays, and hatched what went."""
    if not result.widths:
        return section("widths", "Widths", tag("p", "The result names no site.", class_="missing"))
    before = sum(old for old, _ in result.widths.values())
    after = sum(new for _, new in result.widths.values())
    intro = f"{after:,} of {figures.plural(before, 'unit')} stay at {figures.plural(len(result.widths), 'site')}. "
    legend = tag(
        "p", tag("span", "stays", class_="key c1"), tag("span", "removed", class_="key hatch"), class_="legend"
    )
    widest = max(max(pair) for pair in result.widths.values()) or 1
    reasons = _reasons(result)
    rows = (
        Row((name, _bar(name, pair, widest, reasons.get(name, [])), f"{pair[0]:,} → {pair[1]:,}", _change(pair),
             _short(reasons.get(name, []))), "untouched" if pair[0] == pair[1] else None)
        for name, pair in result.widths.items()
    )  # fmt: skip
    columns = ("Site", "Units", "Before → after", "Change", "Why, and what took over")
    body = table("Units of every site before and after", columns, rows, numeric=(2, 3))
    return section("widths", "Widths", legend, body, intro=intro + "Point at a bar to see why its units went.")


def _reasons(result: Result[Any]) -> dict[str, list[tuple[int, Edit]]]:
    """The edits of every site with the round they belong to."""
    found: dict[str, list[tuple[int, Edit]]] = {}
    for one in kept_rounds(result):
        for edit in one.plan.edits:
            if edit.removed:
                found.setdefault(edit.site, []).append((one.number, edit))
    return found


def _bar(name: str, pair: tuple[int, int], widest: int, edits: list[tuple[int, Edit]]) -> Html:
    before, after = pair
    kept, gone = 100 * min(pair) / widest, 100 * max(0, before - after) / widest
    parts = (
        tag("span", class_="kept", style=f"width:{kept:.2f}%"),
        tag("span", class_="gone", style=f"width:{gone:.2f}%"),
    )
    tip = f"{name}: {before:,} → {after:,} units. " + " ".join(why(number, edit) for number, edit in edits)
    return tag("span", *parts, class_="bar", role="img", aria_label=tip, data_tip=tip)


def _change(pair: tuple[int, int]) -> str:
    return "all gone" if pair[0] and not pair[1] else figures.change(*pair) if pair[0] != pair[1] else "as before"


def _short(edits: list[tuple[int, Edit]]) -> Html:
    """One line per round: the threshold, and what took over."""
    several = len(edits) > 1
    lines = (f"{f'round {number}: ' if several else ''}{_threshold(edit)}{_taken_over(edit)}" for number, edit in edits)
    return joined(tag("span", line, class_="why") for line in lines)


def why(number: int, edit: Edit) -> str:
    """Why some units of a site went in a round, in a sentence."""
    together = figures.plural(len(edit.with_it), "tensor")
    return (
        f"Round {number}: {len(edit.removed):,} of {edit.units:,} removed, {_threshold(edit)}; {together} shrank with "
        f"them; {edit.taken_over_by} took over their work."
    )


def _threshold(edit: Edit) -> str:
    return "not chosen by a score" if edit.threshold is None else f"score ≤ {figures.score(edit.threshold)}"


def _taken_over(edit: Edit) -> str:
    """The layers by name where they are few, else how many; the tip on the bar has all names."""
    if edit.taken_over_by == "nothing":
        return ""
    takers = edit.taken_over_by.split(", ")
    if len(takers) <= MOST_NAMES:
        return f" · {edit.taken_over_by}"
    ways = Counter(taker.rpartition(" (")[2].rstrip(")") for taker in takers)
    return " · " + ", ".join(f"{figures.plural(count, 'layer')} ({way})" for way, count in ways.items())
