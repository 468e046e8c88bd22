"""Layers that went: what each became, by what score, and how well an operator stands for it."""

import math
from collections import Counter
from typing import Any

from secateur.plan import LayerEdit, Swap
from secateur.report import figures
from secateur.report.markup import Html, Row, badge, section, table, tag
from secateur.report.outcome import kept_rounds
from secateur.result import Result, Round, SiteScores

DONE = {
    "affine": "a line for every unit",
    "identity": "nothing",
    "on_off": "on or off, unit by unit",
    "collapse": "one fitted operator",
    "drop": "gone",
    "mask": "weights that lead there made zero",
    "fold": "merged with its neighbours, exactly",
}


def layers(result: Result[Any]) -> Html:
    """A row for each layer that went, and a bar for every activation's score."""
    edits = [(one.number, edit) for one in kept_rounds(result) for edit in one.plan.layers]
    if not edits:
        return section("layers", "Layers", tag("p", "No layer went.", class_="missing"))
    columns = ("Layer", "Round", "Became", "Score", "Rank", "Unexplained", "Modules changed")
    gone = table("Layers that went", columns, [_row(*each) for each in edits], numeric=(1, 3, 4, 5))
    return section("layers", "Layers", gone, *_scores(result), intro=_intro([edit for _, edit in edits]))


def of_layers(result: Result[Any]) -> bool:
    """Whether layers went, or would have gone."""
    return any(one.plan.layers for one in result.rounds)


def in_words(edit: LayerEdit) -> str:
    """What became of one layer, in a line."""
    facts = [] if math.isnan(edit.score) else [f"score {figures.score(edit.score)}"]
    facts += [] if math.isnan(edit.error) else [f"{figures.percent(edit.error)} unexplained"]
    return f"{edit.name}: {DONE.get(edit.action, edit.action)}" + (f" ({', '.join(facts)})" if facts else "")


def _intro(edits: list[LayerEdit]) -> str:
    counts = Counter(edit.action for edit in edits)
    listed = ", ".join(f"{count} {action}" for action, count in counts.items())
    return (
        f"{figures.plural(len(edits), 'change')}: {listed}. Unexplained is the share of the variance of what the layer "
        "put out that the line or the operator leaves, on examples that it was not fitted to where it is an operator."
    )


def _row(number: int, edit: LayerEdit) -> Row:
    modules = [change.module if isinstance(change, Swap) else change.owner for change in edit.changes]
    return Row(
        (
            edit.name,
            str(number),
            DONE.get(edit.action, edit.action),
            figures.NOTHING if math.isnan(edit.score) else figures.score(edit.score),
            figures.NOTHING if edit.rank < 0 else str(edit.rank + 1),
            figures.NOTHING if math.isnan(edit.error) else figures.percent(edit.error),
            ", ".join(modules),
        )
    )


def _scores(result: Result[Any]) -> list[Html]:
    """The scores of all activations in the first round, those that went marked."""
    first: Round = next(one for one in kept_rounds(result) if one.plan.layers)
    scored = [one for one in first.scores if one.scores]
    largest = max((one.scores[0] for one in scored if math.isfinite(one.scores[0])), default=0.0)
    rows = [_scored(one, largest) for one in scored]
    caption = f"Score of every activation in round {first.number}, the lowest go first"
    return [table(caption, ("Activation", "Score", "", "Fate"), rows, numeric=(1,))]


def _scored(one: SiteScores, largest: float) -> Row:
    score = one.scores[0]
    share = score / largest if largest > 0 and math.isfinite(score) else 0.0
    meter = tag("span", tag("span", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%"), class_="meter")
    fate = badge("plain", "went") if one.removed else "stays"
    return Row((one.site, figures.score(score), meter, fate), "flagged" if one.removed else None)
