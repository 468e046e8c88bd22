"""Plans of layers: which go, in a file; and the network without them, made from data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType
from torch import nn

from secateur import methods
from secateur.budget import Become, Budget, Choice, choices_of, plan_of_layers, select_layers
from secateur.budget.layers import BECOMES
from secateur.cli.comparing import refused
from secateur.cli.screen import Bars
from secateur.cli.tables import lines, table
from secateur.composing import compose
from secateur.errors import SettingsError, UnknownNameError
from secateur.folding import Folded, fold
from secateur.plan import Plan
from secateur.recipe import usual_form
from secateur.replacing import replace_layers
from secateur.report import figures
from secateur.report.layers import in_words
from secateur.result import Fold
from secateur.scores import Masking, Scores
from secateur.sites import Sites
from secateur.stretches import find_layers
from secateur.task import Task

_STRETCHES = ("collapse", "drop")


@dataclass(frozen=True)
class Planned:
    """A plan that chooses layers, what there is to tell of it as data, and as tables."""

    plan: Plan
    about: dict[str, Any]
    shown: Sequence[RenderableType]


@dataclass(frozen=True)
class Made:
    """A network without the layers that a plan chose, the plan with what they became, and what was fitted."""

    model: nn.Module
    plan: Plan
    folds: tuple[Fold, ...]


def planned(scores: Scores, sites: Sites, budget: Budget, become: str | None, protect: Sequence[str]) -> Planned:
    """The plan that takes the lowest of some layers, as `compress` would.

    Raises:
        CompressionError: the budget cannot be met, a name is unknown, or masks come first.
    """
    _check_masks(scores.method, become)
    form = _form(scores.method, become)
    choices = select_layers(scores, sites, budget, become=form, protect=protect)
    plan = plan_of_layers(choices, form, scores.method)
    of = len(sites.stretches if form in _STRETCHES else sites.activations)
    rows = [
        {"name": each.name, "score": each.score, "rank": each.rank, "activations": list(each.activations)}
        for each in choices
    ]
    about = {"method": scores.method, "become": form, "of": of, "layers": rows}
    costs = {"macs": [sites.macs, sites.macs - _saved(choices, form)]} if form in _STRETCHES else {}
    return Planned(plan, {**about, **costs}, _tables(choices, form, scores.method, of, costs))


def made(model: nn.Module, plan: Plan, task: Task, bars: Bars, *, solve: bool, merge: bool) -> Made:
    """A network without the layers that a plan chooses: replaced, the layers behind them solved anew, then merged.

    Raises:
        CompressionError: the network has no such layers, or one cannot go so.
    """
    sites = find_layers(model, task)
    become, choices = choices_of(plan, sites)
    bars.doing("fitting")
    found = replace_layers(model, sites, choices, task, become=become, solve=solve)
    bars.doing("merging")
    folded = fold(found.model, task) if merge else Folded(found.model, (), ())
    return Made(folded.model, replace(compose(found.plan, folded.plan), method=plan.method), found.folds)


def summary(done: Made, before: int, after: int) -> list[RenderableType]:
    """What became of every layer, and how well what was fitted stands for it."""
    folds = [
        f"{fold.layer}: {fold.used}, error {fold.error_before:.2%} → {fold.error_after:.2%}" for fold in done.folds
    ]
    note = "layers that became linear compute something else: that is measured (secateur measure), not proven"
    return [
        lines(f"{before:,} → {after:,} parameters", [*map(in_words, done.plan.layers), note]),
        lines("Fitted (share of the variance of what each layer put out)", folds or ["none"]),
        *([lines("Refused", texts)] if (texts := refused((1, fold) for fold in done.folds)) else []),
    ]


def _check_masks(method: str, become: str | None) -> None:
    """Refuse what is done in rounds of masks and training, unless a form says that layers are to go without."""
    is_masking = method in methods.names() and isinstance(methods.get(method), Masking)
    if become == "mask" or (is_masking and become is None):
        raise SettingsError(
            f"{method}: makes weights zero, in rounds with training, before layers go, and no plan holds that: "
            f"use `secateur compress --method {method}`; or give --become affine, to take layers by these scores alone."
        )


def _form(method: str, become: str | None) -> Become:
    """What layers become.

    Raises:
        UnknownNameError: there is no such form.
    """
    wanted = become or usual_form(method)
    form = next((form for form in BECOMES if form == wanted), None)
    if form is None:
        raise UnknownNameError("form that a layer can become", wanted, BECOMES)
    return form


def _saved(choices: Sequence[Choice], form: Become) -> int:
    stretches = [each.stretch for each in choices if each.stretch]
    return sum(one.macs - (0 if form == "drop" else one.macs_after) for one in stretches)


def _tables(
    choices: Sequence[Choice], form: Become, method: str, of: int, costs: dict[str, list[int]]
) -> list[RenderableType]:
    what = "stretches" if form in _STRETCHES else "activations"
    rows = [(each.name, figures.score(each.score), ", ".join(each.activations)) for each in choices]
    columns = ("Layer", "Score", "Activations in it")
    width = 3 if form in _STRETCHES else 2
    title = f"Plan by {method}: {len(choices)} of {of} {what}, each to {form}"
    said = [f"MACs: {before:,} → {after:,} ({figures.change(before, after)})" for before, after in costs.values()]
    said = said or ["what this saves is known when linear layers are merged: see `secateur layers --become`"]
    return [table(title, columns[:width], [row[:width] for row in rows], numeric=(1,)), lines("Cost", said)]
