"""The whole line in two loops: stages of a recipe, rounds of a stage."""

import platform
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import nn

from secateur.budget import Share, select
from secateur.compensation import repair
from secateur.errors import DataError, ModelError, UnknownNameError
from secateur.finding import find_sites
from secateur.inference import evaluating
from secateur.measurement import measure
from secateur.methods import score
from secateur.plan import Plan, compose
from secateur.recipe import Recipe, Stage, recipe_of, to_dict
from secateur.recovery import Recovered, Recovery, train
from secateur.result import Event, Fold, Measurement, Result, Round, SiteScores, Step
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.surgery import certified
from secateur.task import Task
from secateur.width import copied

Watch = Callable[[Event], None] | None
OnRound = Callable[[nn.Module, Round], None] | None


@dataclass(frozen=True)
class _Run:
    """What is the same in every round."""

    original: nn.Module
    task: Task
    recipe: Recipe
    watch: Watch


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
    run = _Run(model, task, recipe_of(recipe), watch)
    if run.recipe.max_drop is not None and task.validation is None:
        raise DataError(
            f"max_drop={run.recipe.max_drop:g} is judged on validation data; give it as Task.…(validation=…)."
        )
    sites = find_sites(model, task)
    line = _Line(copied(model), Plan(method=""), (Step("original", 0, measure(model, task)),))
    for stage in run.recipe.stages:
        begun = len(line.rounds)
        for part in range(stage.rounds):
            done = len(line.rounds)
            line = line if line.is_over else _next_round(line, run, stage, part, line.rounds[begun:])
            if len(line.rounds) > done and line.rounds[-1].kept and on_round:
                on_round(line.model, line.rounds[-1])
            if len(line.rounds) == done and not isinstance(stage.budget, Share):
                break  # nothing was removed, nor would the stage's next round remove anything
    return _result(line, run, sites)


def _next_round(line: _Line, run: _Run, stage: Stage, part: int, earlier: tuple[Round, ...]) -> _Line:
    """The line after a part of a stage, of which there were some rounds earlier."""
    number = len(line.rounds) + 1
    begun = time.perf_counter()
    gone = Counter(edit.site for round_ in earlier for edit in round_.plan.edits for _ in edit.removed)
    try:
        cut = _cut(line.model, run, stage, part, gone)
    except ModelError as error:
        if number == 1:
            raise
        return replace(line, notes=(*line.notes, f"round {number}: {error}"), is_over=True)
    if not cut.plan.removed and isinstance(stage.budget, Share) and (earlier or part + 1 < stage.rounds):
        return line  # a round's share of so few units is less than one
    if not cut.plan.removed:
        note = f"round {number}: {stage.method.name} under {stage.budget} removes nothing; raise the budget."
        return replace(line, notes=(*line.notes, note))
    steps = [_step("cut", number, cut.cut, run.task, begun)]
    if cut.folds:
        steps.append(_step("compensated", number, cut.mended, run.task, begun))
    recovered = _recovered(cut.mended, run, stage)
    if recovered.epochs:
        steps.append(_step("recovered", number, recovered.model, run.task, begun))
    finished = Round(number, cut.plan, cut.scores, cut.folds, recovered.epochs)
    return _judged(line, run, finished, recovered, tuple(steps))


def _judged(line: _Line, run: _Run, finished: Round, recovered: Recovered, steps: tuple[Step, ...]) -> _Line:
    """The line with this round, if it holds the allowed drop; without its network otherwise."""
    number, notes, max_drop = finished.number, line.notes, run.recipe.max_drop
    if recovered.interrupted:
        done = len(recovered.epochs)
        notes = (*notes, f"round {number}: interrupted after epoch {done} of recovery; the best is kept.")
    if finished.plan.biased:
        gained = sum(recovered.model.get_parameter(f"{name}.bias").numel() for name in finished.plan.biased)
        who = ", ".join(finished.plan.biased)
        notes = (*notes, f"round {number}: compensation gave {who} a bias, {gained} parameters more than planned.")
    drop = _drop(line.steps[0].measurement, steps[-1].measurement, run.task)
    if max_drop is not None and not drop <= max_drop:
        reason = f"validation {run.task.metric} fell by {drop:.2f} points; {max_drop:g} are allowed"
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


def _cut(model: nn.Module, run: _Run, stage: Stage, part: int, gone: Counter[str]) -> _Cut:
    """One round's cuts: all sites together, or one after the other with the network scored anew in between."""
    task = run.task
    names = find_sites(model, task).names if stage.one_by_one else (None,)
    done = _Cut(model, model, Plan(method=stage.method.name), (), ())
    for name in names:
        sites = find_sites(done.mended, task)
        if name is not None and name not in sites.names:
            continue  # an earlier cut left it with one unit
        scores = score(done.mended, sites, task, stage.method, watch=run.watch)
        budget = stage.part(part, {site.name: (site.units + gone[site.name], site.units) for site in sites})
        plan = select(scores, sites, budget, protect=_protected(sites, stage.protect, name))
        small, plan = certified(done.mended, plan, task)
        repaired = repair(small, done.mended, plan, task, how=stage.compensate)
        done = _Cut(
            cut=small,
            mended=repaired.model,
            plan=compose(done.plan, repaired.plan),
            scores=done.scores + _site_scores(scores, plan, sites.names if name is None else (name,)),
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


def _site_scores(scores: Scores, plan: Plan, names: tuple[str, ...]) -> tuple[SiteScores, ...]:
    edits = {edit.site: edit for edit in plan.edits}
    thresholds = {name: edits[name].threshold if name in edits else None for name in names}
    return tuple(
        SiteScores(name, tuple(scores.values[name].tolist()), plan.removed.get(name, ()), thresholds[name])
        for name in names
    )


def _recovered(model: nn.Module, run: _Run, stage: Stage) -> Recovered:
    recovery = stage.recovery
    if recovery is None or recovery.epochs == 0:
        return Recovered(model, (), interrupted=False)
    if stage.distil and recovery.teacher is None:
        recovery = replace(recovery, teacher=run.original)
    return train(model, run.task, recovery, watch=run.watch)


def _step(name: str, number: int, model: nn.Module, task: Task, begun: float) -> Step:
    return Step(name, number, measure(model, task, latency=False), time.perf_counter() - begun)


def _drop(before: Measurement, after: Measurement, task: Task) -> float:
    """Points of validation quality lost; none where there is no validation data."""
    if task.metric not in before.quality:
        return 0.0
    return before.quality[task.metric] - after.quality[task.metric]


def _result(line: _Line, run: _Run, sites: Sites) -> Result[nn.Module]:
    task, control = run.task, run.recipe.from_scratch
    steps = list(line.steps)
    steps[0] = replace(steps[0], measurement=_with_test(run.original, steps[0].measurement, task))
    if len(steps) > 1:
        steps[-1] = replace(steps[-1], measurement=_with_test(line.model, measure(line.model, task), task))
    gone = {name: len(units) for name, units in line.plan.removed.items()}
    return Result(
        model=line.model,
        method=", ".join(dict.fromkeys(stage.method.name for stage in run.recipe.stages)),
        metric=task.metric,
        steps=tuple(steps),
        rounds=line.rounds,
        widths={site.name: (site.units, site.units - gone.get(site.name, 0)) for site in sites},
        plan=line.plan,
        controls=(_from_scratch(line.model, task, control, run.watch),) if control else (),
        pinned=tuple((pin.name, pin.units, f"{pin.operator}: {pin.reason}") for pin in sites.pinned),
        settings=to_dict(run.recipe),
        versions=_versions(),
        notes=(*line.notes, *(_inherited(line.model) if control else ())),
    )


def _with_test(model: nn.Module, measurement: Measurement, task: Task) -> Measurement:
    if task.test is None:
        return measurement
    with evaluating(model) as predict:
        quality = task.evaluate("test", predict)
    tested = {f"test_{name}": value for name, value in quality.items()}
    return replace(measurement, quality=measurement.quality | tested)


def _from_scratch(model: nn.Module, task: Task, recovery: Recovery, watch: Watch) -> Step:
    """The same shape trained from random weights: what the inherited weights were worth."""
    begun = time.perf_counter()
    trained = train(reinitialised(model, recovery.seed), task, replace(recovery, teacher=None), watch=watch).model
    measurement = _with_test(trained, measure(trained, task, latency=False), task)
    return Step("from_scratch", 0, measurement, time.perf_counter() - begun)


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a model with fresh random weights, by each module's own `reset_parameters`."""
    fresh = copied(model)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")  # of layers that lost all units
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = _reset_of(module)
            if reset is not None:
                reset()
    return fresh


def _inherited(model: nn.Module) -> tuple[str, ...]:
    """A note of the weights that `reinitialised` leaves as they are, if there are any."""
    owners = [(name, module) for name, module in model.named_modules() if _reset_of(module) is None]
    left = [f"{name}.{key}".lstrip(".") for name, module in owners for key, _ in module.named_parameters(recurse=False)]
    if not left:
        return ()
    return (f"from_scratch: {', '.join(left)} started as trained: their modules have no reset_parameters.",)


def _reset_of(module: nn.Module) -> Callable[[], None] | None:
    reset = getattr(module, "reset_parameters", None)
    return reset if callable(reset) else None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("secateur", "torch", "accelerate", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
