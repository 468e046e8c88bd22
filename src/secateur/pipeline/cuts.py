"""What one round takes out of a network: units of sites, or layers."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from secateur.budget import Budget, Count, select, select_layers
from secateur.compensation import repair
from secateur.composing import compose
from secateur.finding import find_sites
from secateur.folding import Folded, fold
from secateur.halves import of_plan
from secateur.methods import score
from secateur.pipeline.clocks import clock_of
from secateur.pipeline.masks import masked
from secateur.pipeline.progress import Cut, Run
from secateur.plan import Plan
from secateur.recipe import Stage
from secateur.replacing import replace_layers
from secateur.result import SiteScores
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.stretches import find_layers
from secateur.surgery import certified


def cut_by(model: nn.Module, run: Run, stage: Stage, part: int, gone: Counter[str]) -> Cut:
    """What a part of a stage takes out of a network; `gone` counts the units that earlier parts took from each site."""
    if stage.form == "mask":
        return masked(model, run, stage)
    if stage.method.granularity == "layer":
        return _layers(model, run, stage, part)
    return _units(model, run, stage, part, gone)


def _layers(model: nn.Module, run: Run, stage: Stage, part: int) -> Cut:
    """One round's layers: all that are chosen together."""
    assert stage.form != "mask"  # which takes no layer
    sites = find_layers(model, run.task)
    scores = score(model, sites, run.task, stage.method, watch=run.watch)
    budget = Count(1) if stage.to_the_end else stage.part(part)
    chosen = partial(select_layers, scores, sites, budget, become=stage.form, protect=stage.protect)
    choices = run.task.processes.from_main(chosen)
    begun = time.perf_counter()
    found = replace_layers(model, sites, choices, run.task, become=stage.form, solve=stage.compensate != "none")
    gone = {name for choice in choices for name in choice.activations}
    folded = fold(found.model, run.task) if stage.fold and choices else Folded(found.model, (), ())
    return Cut(
        cut=found.cut,
        mended=folded.model,
        plan=replace(compose(found.plan, folded.plan), method=stage.method.name),
        scores=tuple(
            SiteScores(name, tuple(values.tolist()), (0,) if name in gone else ())
            for name, values in scores.values.items()
        ),
        folds=found.folds,
        repairing=time.perf_counter() - begun,
    )


def _units(model: nn.Module, run: Run, stage: Stage, part: int, gone: Counter[str]) -> Cut:
    """One round's cuts: all sites together, or one after the other with the network scored anew in between."""
    task = run.task
    names = find_sites(model, task).names if stage.one_by_one else (None,)
    done = Cut(model, model, Plan(method=stage.method.name), (), ())
    for name in names:
        sites = find_sites(done.mended, task)
        if name is not None and (name not in sites.names or set(sites[name].twins) & set(names[: names.index(name)])):
            continue  # an earlier cut left it with one unit, or took its units together with its twin's
        scores = score(done.mended, sites, task, stage.method, watch=run.watch)
        widths = {site.name: (site.units + gone[site.name], site.units, site.blocks) for site in sites}
        budget, protected = stage.part(part, widths), _protected(sites, stage.protect, name)
        model = done.mended
        select_now = partial(select, scores, sites, budget, protect=protected, multiple_of=stage.multiple_of)
        plan = task.processes.from_main(partial(_selected, select_now, run, budget, model))
        steady = of_plan(done.mended, sites, task, stage.method, plan, watch=run.watch) if stage.stability else ()
        small, plan = certified(done.mended, plan, task)
        begun = time.perf_counter()
        repaired = repair(small, done.mended, plan, task, how=stage.compensate)
        done = Cut(
            cut=small,
            mended=repaired.model,
            plan=compose(done.plan, repaired.plan),
            scores=done.scores + _site_scores(scores, plan, sites.names if name is None else (name,)),
            folds=done.folds + repaired.folds,
            halves=done.halves + steady,
            repairing=done.repairing + time.perf_counter() - begun,
        )
    return done


def _selected(select_now: Callable[..., Plan], run: Run, budget: Budget, model: nn.Module) -> Plan:
    """The plan under a budget; where that is a latency, by a clock for this network."""
    return select_now(clock=clock_of(run.clocks, budget, model))


def _protected(sites: Sites, patterns: tuple[str, ...], only: str | None) -> tuple[str, ...]:
    """The sites that lose nothing: those that match a pattern, and all but one where it is its turn."""
    protected = sites.matching(patterns)
    if only is not None:
        protected |= set(sites.names) - {only, *sites[only].twins}
    return tuple(protected)


def _site_scores(scores: Scores, plan: Plan, names: tuple[str, ...]) -> tuple[SiteScores, ...]:
    edits = {edit.site: edit for edit in plan.edits}
    thresholds = {name: edits[name].threshold if name in edits else None for name in names}
    return tuple(
        SiteScores(name, tuple(scores.values[name].tolist()), plan.removed.get(name, ()), thresholds[name])
        for name in names
    )
