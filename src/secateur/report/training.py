"""Recovery round by round: loss and quality per epoch, and the rounds that were not kept."""

from typing import Any

from secateur.report import figures
from secateur.report.charts import Series, line_chart
from secateur.report.markup import Html, Row, badge, joined, section, table, tag
from secateur.report.outcome import KEPT
from secateur.result import Result, Round

MOST_OPEN = 4


def training(result: Result[Any]) -> Html:
    """The rounds in one table, then the curves of each."""
    if not result.rounds:
        return section("recovery", "Rounds and recovery", tag("p", "No round was run.", class_="missing"))
    columns = ("Round", "Method", "Removed", "Epochs", "Loss", f"Best {result.metric}", "Outcome")
    rows = (Row(_summary(one), None if one.kept else "dropped") for one in result.rounds)
    curves = [_curves(one, result) for one in result.rounds if one.epochs]
    nothing = [] if curves else [tag("p", "No round was trained.", class_="missing")]
    return section(
        "recovery", "Rounds and recovery", table("Every round", columns, rows, numeric=range(2, 6)), *curves, *nothing
    )


def _summary(one: Round) -> tuple[Html | str, ...]:
    gone = figures.plural(sum(len(edit.removed) for edit in one.plan.edits), "unit")
    if one.plan.layers:
        gone = figures.plural(sum(edit.action not in KEPT for edit in one.plan.layers), "layer")
    loss = (
        f"{figures.three(one.epochs[0].loss)} → {figures.three(one.epochs[-1].loss)}" if one.epochs else figures.NOTHING
    )
    best = max((epoch.quality for epoch in one.epochs if epoch.quality is not None), default=None)
    outcome = badge("good", "kept") if one.kept else badge("warn", "not kept")
    return (
        str(one.number),
        one.plan.method,
        gone,
        f"{len(one.epochs):,}",
        loss,
        figures.NOTHING if best is None else f"{best:.2f}",
        joined((outcome, " ", one.reason)),
    )


def _curves(one: Round, result: Result[Any]) -> Html:
    ticks = [str(epoch.epoch) for epoch in one.epochs]
    loss = Series("loss", tuple(epoch.loss for epoch in one.epochs), 2)
    quality = Series(result.metric, tuple(epoch.quality for epoch in one.epochs), 1)
    charts = tag(
        "div",
        line_chart("loss per epoch", [loss], ticks, figures.score),
        line_chart(f"{result.metric} per epoch, points", [quality], ticks, figures.score),
        class_="charts",
    )
    columns = ("Epoch", "Loss", result.metric, "Learning rate")
    rows = (
        Row((str(each.epoch), figures.score(each.loss), figures.score(each.quality), figures.score(each.learning_rate)))
        for each in one.epochs
    )
    numbers = table(f"Epochs of round {one.number}", columns, rows, numeric=(1, 2, 3))
    title = f"Round {one.number}" + ("" if one.kept else " (not kept)")
    few = len(result.rounds) <= MOST_OPEN
    folded = tag("details", tag("summary", "Every epoch as numbers"), numbers)
    return tag("details", tag("summary", tag("h3", title)), charts, folded, open=few, class_="round")
