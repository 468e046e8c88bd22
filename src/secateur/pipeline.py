"""The whole line in two loops: stages of a recipe, rounds of a stage."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.budget import Budget, select
from secateur.compensation import repair
from secateur.errors import ModelError, UnknownNameError
from secateur.inference import evaluating
from secateur.measurement import measure
from secateur.plan import Plan, compose
from secateur.recipe import Recipe, Stage, recipe_of, to_dict
from secateur.recovery import Recovered, Recovery, train
from secateur.result import Event, Fold, Measurement, Result, Round, SiteScores, Step
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.surgery import certified
from secateur.task import Task
from secateur.tracing import find_sites
from secateur.width import copied

Watch = Callable[[Event], None] | None
OnRound = Callable[[nn.Module, Round], None] | None


@dataclass(frozen=True)
class _Line:
    """How far the line has come: the network, all rounds in one plan, and what was found on the way."""

    model: nn.Module
    plan: Plan
    steps: tuple[Step, ...]
    rounds: tuple[Round, ...] = ()
    notes: tuple[str, ...] = ()
    is_over: bool = False


@dataclass(frozen=True)
class _Cut:
    """A network after one round's cuts and compensation: before and after the latter."""

    cut: nn.Module
    mended: nn.Module
    plan: Plan
    scores: tuple[SiteScores, ...]
    folds: tuple[Fold, ...]


def compress(
    model: nn.Module,
    task: Task,
    recipe: Recipe | str | Path,
    *,
    watch: Watch = None,
    on_round: OnRound = None,
) -> Result[nn.Module]:
    """A smaller network and how it came to be; the given model is never touched.

    `recipe` is a Recipe, a method's name or a TOML file. `watch` hears of progress, `on_round` gets every round that is
    kept as soon as it is done. Ctrl-C during recovery ends the run with what is finished, and a note says so.

    Raises:
        CompressionError: something is refused; the message says what and how to go on.
    """
    chosen = recipe_of(recipe)
    sites = find_sites(model, task)
    start = measure(model, task)
    line = _Line(copied(model), Plan(method=""), (Step("original", 0, start),))
    for stage in chosen.stages:
        for number in range(stage.rounds):
            if not line.is_over:
                line = _next_round(line, model, task, stage, stage.part(number), chosen.max_drop, watch)
                if on_round and line.rounds and line.rounds[-1].kept:
                    on_round(line.model, line.rounds[-1])
    return _result(line, model, task, chosen, sites, watch)


def _next_round(
    line: _Line, original: nn.Module, task: Task, stage: Stage, budget: Budget, max_drop: float | None, watch: Watch
) -> _Line:
    number = len(line.rounds) + 1
    begun = time.perf_counter()
    try:
        cut = _cut(line.model, original, task, stage, budget)
    except ModelError as error:
        if number == 1:
            raise
        return replace(line, notes=(*line.notes, f"round {number}: {error}"), is_over=True)
    if not cut.plan.removed:
        note = f"round {number}: {stage.method.name} under {budget} removes nothing; raise the budget."
        return replace(line, notes=(*line.notes, note), is_over=True)
    steps = [_step("cut", number, cut.cut, task, begun)]
    if cut.folds:
        steps.append(_step("compensated", number, cut.mended, task, begun))
    recovered = _recovered(cut.mended, original, task, stage, watch)
    if recovered.epochs:
        steps.append(_step("recovered", number, recovered.model, task, begun))
    finished = Round(number, cut.plan, cut.scores, cut.folds, recovered.epochs)
    return _judged(line, finished, recovered, tuple(steps), task, max_drop)


def _judged(
    line: _Line, finished: Round, recovered: Recovered, steps: tuple[Step, ...], task: Task, max_drop: float | None
) -> _Line:
    """The line with this round, if it holds the allowed drop; without its network otherwise."""
    number = finished.number
    notes = line.notes
    if recovered.interrupted:
        notes = (*notes, f"round {number}: interrupted after epoch {len(recovered.epochs)} of recovery; the best is kept.")
    drop = _drop(line.steps[0].measurement, steps[-1].measurement, task)
    if max_drop is not None and drop > max_drop:
        reason = f"validation {task.metric} fell by {drop:.2f} points; {max_drop:g} are allowed"
        rounds = (*line.rounds, replace(finished, kept=False, reason=reason))
        return replace(line, rounds=rounds, notes=(*notes, f"round {number} was not kept: {reason}."), is_over=True)
    return _Line(
        model=recovered.model,
        plan=compose(line.plan, finished.plan),
        steps=line.steps + steps,
        rounds=(*line.rounds, finished),
        notes=notes,
        is_over=recovered.interrupted,
    )


def _cut(model: nn.Module, original: nn.Module, task: Task, stage: Stage, budget: Budget) -> _Cut:
    """One round's cuts: all sites together, or one after the other with the network scored anew in between."""
    names = find_sites(model, task).names if stage.one_by_one else (None,)
    done = _Cut(model, model, Plan(method=stage.method.name), (), ())
    for name in names:
        sites = find_sites(done.mended, task)
        if name is not None and name not in sites.names:
            continue  # an earlier cut left it with one unit
        scores = stage.method.score(done.mended, sites, task)
        plan = select(scores, sites, budget, protect=_protected(sites, stage.protect, name))
        small, plan = certified(done.mended, plan, task)
        repaired = repair(small, done.mended, plan, task, how=stage.compensate)
        done = _Cut(
            cut=small,
            mended=repaired.model,
            plan=compose(done.plan, repaired.plan),
            scores=done.scores + _site_scores(scores, plan),
            folds=done.folds + repaired.folds,
        )
    return done


def _protected(sites: Sites, patterns: tuple[str, ...], only: str | None) -> tuple[str, ...]:
    """The sites that lose nothing: those that match a pattern, and all but one where it is its turn."""
    protected: set[str] = set()
    for pattern in patterns:
        found = {name for name in sites.names if fnmatch(name, pattern)}
        if not found:
            raise UnknownNameError("site to protect", pattern, sites.names)
        protected |= found
    if only is not None:
        protected |= set(sites.names) - {only}
    return tuple(protected)


def _site_scores(scores: Scores, plan: Plan) -> tuple[SiteScores, ...]:
    edits = {edit.site: edit for edit in plan.edits}
    return tuple(
        SiteScores(name, tuple(values.tolist()), plan.removed.get(name, ()), edits[name].threshold if name in edits else None)
        for name, values in scores.values.items()
    )


def _recovered(model: nn.Module, original: nn.Module, task: Task, stage: Stage, watch: Watch) -> Recovered:
    recovery = stage.recovery
    if recovery is None or recovery.epochs == 0:
        return Recovered(model, (), interrupted=False)
    if stage.distil and recovery.teacher is None:
        recovery = replace(recovery, teacher=original)
    return train(model, task, recovery, watch=watch)


def _step(name: str, number: int, model: nn.Module, task: Task, begun: float) -> Step:
    return Step(name, number, measure(model, task, latency=False), time.perf_counter() - begun)


def _drop(before: Measurement, after: Measurement, task: Task) -> float:
    """Points of validation quality lost; none where there is no validation data."""
    if task.metric not in before.quality:
        return 0.0
    return before.quality[task.metric] - after.quality[task.metric]


def _result(
    line: _Line, original: nn.Module, task: Task, recipe: Recipe, sites: Sites, watch: Watch
) -> Result[nn.Module]:
    steps = list(line.steps)
    steps[0] = replace(steps[0], measurement=_with_test(original, steps[0].measurement, task))
    if len(steps) > 1:
        final = measure(line.model, task)
        steps[-1] = replace(steps[-1], measurement=_with_test(line.model, final, task))
    gone = {name: len(units) for name, units in line.plan.removed.items()}
    control = recipe.from_scratch
    return Result(
        model=line.model,
        method=", ".join(dict.fromkeys(stage.method.name for stage in recipe.stages)),
        metric=task.metric,
        steps=tuple(steps),
        rounds=line.rounds,
        widths={site.name: (site.units, site.units - gone.get(site.name, 0)) for site in sites},
        plan=line.plan,
        controls=(_from_scratch(line.model, task, control, watch),) if control else (),
        pinned=tuple((pin.name, pin.units, f"{pin.operator}: {pin.reason}") for pin in sites.pinned),
        settings=to_dict(recipe),
        versions=_versions(),
        notes=line.notes,
    )


def _with_test(model: nn.Module, measurement: Measurement, task: Task) -> Measurement:
    if task.test is None:
        return measurement
    with evaluating(model) as predict:
        quality = task.evaluate("test", predict)
    return replace(measurement, quality=measurement.quality | {f"test_{name}": value for name, value in quality.items()})


def _from_scratch(model: nn.Module, task: Task, recovery: Recovery, watch: Watch) -> Step:
    """The same shape trained from random weights: what the inherited weights were worth."""
    begun = time.perf_counter()
    trained = train(reinitialised(model, recovery.seed), task, replace(recovery, teacher=None), watch=watch).model
    measurement = _with_test(trained, measure(trained, task, latency=False), task)
    return Step("from_scratch", 0, measurement, time.perf_counter() - begun)


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a model with fresh random weights, by each module's own `reset_parameters`."""
    fresh = copied(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset: Any = getattr(module, "reset_parameters", None)
            if callable(reset) and all(parameter.numel() for parameter in module.parameters(recurse=False)):
                reset()
    return fresh


def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("secateur", "torch", "accelerate", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
