"""What one round of masks makes zero: weights of layers that are nearly linear, no layer goes."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from secateur.budget.layers import protected_layers
from secateur.masking import importances, mask, rows_of
from secateur.pipeline.progress import Cut, Run
from secateur.plan import LayerEdit, Plan
from secateur.recipe import Stage
from secateur.result import SiteScores
from secateur.scores import Masking
from secateur.sites import Sites
from secateur.stretches import find_layers


def masked(model: nn.Module, run: Run, stage: Stage) -> Cut:
    """What a round of a stage makes zero; an edit for each activation says how many of its weights are."""
    assert isinstance(stage.method, Masking)  # as the stage has checked
    sites = find_layers(model, run.task)
    kept = protected_layers(sites, stage.protect)
    sites = replace(sites, activations=tuple(each for each in sites.activations if each.name not in kept))
    entropies = stage.method.entropies(model, sites, run.task)
    scores = dict(
        zip((each.name for each in sites.activations), importances(model, sites, entropies.values), strict=True)
    )
    small = mask(model, sites, entropies, stage.zeta)
    before, after = (_left(net, sites) for net in (model, small))
    order = sorted(scores, key=lambda name: scores[name])
    edits = tuple(
        LayerEdit(name, "mask", (), scores[name], order.index(name), reason=_reason(before[name], after[name], whole))
        for name, whole in _sizes(model, sites).items()
        if after[name] < before[name]
    )
    gave = {edit.name for edit in edits}
    return Cut(
        cut=small,
        mended=small,
        plan=Plan(stage.method.name, layers=edits),
        scores=tuple(SiteScores(name, (value,), (0,) if name in gave else ()) for name, value in scores.items()),
        folds=(),
    )


def _left(model: nn.Module, sites: Sites) -> Mapping[str, int]:
    """How many of the weights that lead to each activation are not zero."""
    found = rows_of(model, sites)
    return {name: sum(int(rows.of(model).count_nonzero()) for rows in parts) for name, parts in found.items()}


def _sizes(model: nn.Module, sites: Sites) -> Mapping[str, int]:
    return {name: sum(rows.of(model).numel() for rows in parts) for name, parts in rows_of(model, sites).items()}


def _reason(before: int, after: int, whole: int) -> str:
    return f"{before - after:,} of {before:,} weights became zero; {after:,} of {whole:,} are left"
