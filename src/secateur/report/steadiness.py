"""Whether the choice of units would have been the same on other data."""

from typing import Any

from secateur.report import figures
from secateur.report.markup import Html, Row, badge, section, table
from secateur.result import Halves, Result, Round


def steadiness(result: Result[Any]) -> Html:
    """A row for every site of which two halves of the data were scored apart; nothing where none were."""
    found = [(one, each) for one in result.rounds for each in one.halves]
    if not found:
        return Html("")
    intro = (
        "Two halves of the calibration data were scored apart. Where they agree on no more of the units that stay than "
        "two random choices would (within two standard deviations), the choice rests on noise. All of the data scores "
        "a little more steadily than its halves."
    )
    columns = ("Site", "Round", "Rank correlation", "Kept by both", "By chance", "Verdict")
    rows = (_row(one, each) for one, each in found)
    return section(
        "stability", "Stability", table("Two halves of the data", columns, rows, numeric=(1, 2, 3, 4)), intro=intro
    )


def _row(one: Round, each: Halves) -> Row:
    verdict = badge("warn", "noise") if each.is_noise else "above chance"
    number = str(one.number) if one.kept else f"{one.number} (not kept)"
    shares = (figures.percent(each.overlap), figures.percent(each.chance))
    return Row(
        (each.site, number, figures.score(each.correlation), *shares, verdict), "flagged" if each.is_noise else None
    )
