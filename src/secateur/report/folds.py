"""What compensation asked for at every layer, and what its guard allowed."""

import math
from typing import Any

from secateur.report import figures
from secateur.report.markup import Content, Html, Row, badge, joined, section, table, tag
from secateur.report.summary import is_refused
from secateur.result import Fold, Result, Round


def folds(result: Result[Any]) -> Html:
    """A row per fold, the refused ones marked with their reason."""
    found = [(one, fold) for one in result.rounds for fold in one.folds]
    if not found:
        return section("folds", "Compensation", tag("p", "Nothing was compensated.", class_="missing"))
    refused = sum(is_refused(fold) for _, fold in found) or "none"
    intro = (
        f"{figures.plural(len(found), 'fold')}, {refused} of them refused. A fold hands the work of removed units to "
        "those that stay; the guard keeps it only where it lowers the error on rows it was not fitted to. Errors are "
        "shares of the variance of what the layer put out originally."
    )
    columns = ("Layer", "Round", "Asked", "Used", "Error before", "Error after", "Left", "Guard")
    rows = (_row(one, fold) for one, fold in found)
    return section("folds", "Compensation", table("Every fold", columns, rows, numeric=(1, 4, 5)), intro=intro)


def _row(one: Round, fold: Fold) -> Row:
    return Row(
        (
            fold.layer,
            str(one.number) if one.kept else f"{one.number} (not kept)",
            fold.asked,
            fold.used,
            figures.percent(fold.error_before),
            figures.percent(fold.error_after),
            _left(fold),
            _verdict(fold),
        ),
        "flagged" if is_refused(fold) else None,
    )


def _verdict(fold: Fold) -> Content:
    if is_refused(fold):
        return joined((badge("warn", "refused"), " ", fold.reason))
    if fold.used != fold.asked:
        return joined((badge("plain", f"{fold.used} instead"), " ", fold.reason))
    return fold.reason or "allowed"


def _left(fold: Fold) -> Html:
    """A bar for the share of the error that is left."""
    share = fold.error_after / fold.error_before if fold.error_before > 0 else math.nan
    if not math.isfinite(share):
        return tag("span", figures.NOTHING)
    full = tag("span", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%")
    meter = tag("span", full, class_="meter" + (" worse" if share > 1 else ""), aria_hidden="true")
    return tag("span", meter, tag("span", f"{figures.percent(share)} left", class_="sr-only"))
