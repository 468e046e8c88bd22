"""One round of the line: cuts, compensation, recovery, and whether it is kept."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from torch import nn

from secateur.budget import Share, select
from secateur.compensation import repair
from secateur.errors import ModelError, UnknownNameError
from secateur.finding import find_sites
from secateur.halves import of_plan
from secateur.measurement import measure
from secateur.methods import score
from secateur.pipeline.progress import Progress, Run
from secateur.plan import Plan, compose
from secateur.recipe import Stage
from secateur.recovery import Recovered, train
from secateur.result import Fold, Halves, Measurement, Round, SiteScores, Step
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.surgery import certified
from secateur.task import Task


@dataclass(frozen=True)
class _Cut:
    """A network after one round's cuts and compensation: before and after the latter."""

    cut: nn.Module
    mended: nn.Module
    plan: Plan
    scores: tuple[SiteScores, ...]
    folds: tuple[Fold, ...]
    halves: tuple[Halves, ...] = ()
    repairing: float = 0.0  # seconds


def next_round(line: Progress, run: Run, stage: Stage, part: int, earlier: tuple[Round, ...]) -> Progress:
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
    steps = [_step("cut", number, cut.cut, run.task, begun + cut.repairing)]
    if cut.folds:
        steps.append(_step("compensated", number, cut.mended, run.task, begun))
    recovered = _recovered(cut.mended, run, stage)
    if recovered.epochs:
        steps.append(_step("recovered", number, recovered.model, run.task, begun))
    finished = Round(number, cut.plan, cut.scores, cut.folds, recovered.epochs, halves=cut.halves)
    return _judged(line, run, finished, recovered, tuple(steps))


def _judged(line: Progress, run: Run, finished: Round, recovered: Recovered, steps: tuple[Step, ...]) -> Progress:
    """The line with this round, if it holds the allowed drop; without its network otherwise."""
    number, notes, max_drop = finished.number, line.notes, run.recipe.max_drop
    if recovered.interrupted:
        done = len(recovered.epochs)
        notes = (*notes, f"round {number}: interrupted after epoch {done} of recovery; the best is kept.")
    if finished.plan.biased:
        gained = sum(recovered.model.get_parameter(f"{name}.bias").numel() for name in finished.plan.biased)
        who = ", ".join(finished.plan.biased)
        notes = (*notes, f"round {number}: compensation gave {who} a bias, {gained} parameters more than planned.")
    notes = (*notes, *_noise(finished))
    drop = _drop(line.steps[0].measurement, steps[-1].measurement, run.task)
    if max_drop is not None and not drop <= max_drop:
        reason = f"validation {run.task.metric} fell by {drop:.2f} points; {max_drop:g} are allowed"
        rounds = (*line.rounds, replace(finished, kept=False, reason=reason))
        return replace(line, rounds=rounds, notes=(*notes, f"round {number} was not kept: {reason}."), is_over=True)
    return replace(
        line,
        model=recovered.model,
        plan=compose(line.plan, finished.plan),
        steps=line.steps + steps,
        rounds=(*line.rounds, finished),
        notes=notes,
        is_over=recovered.interrupted,
    )


def _noise(finished: Round) -> tuple[str, ...]:
    """A note of the sites whose cuts rest on noise, if there are any."""
    noisy = [each for each in finished.halves if each.is_noise]
    if not noisy:
        return ()
    overlap, chance = (100 * sum(own) / len(noisy) for own in ([e.overlap for e in noisy], [e.chance for e in noisy]))
    names = ", ".join(each.site for each in noisy[:3]) + (", …" if len(noisy) > 3 else "")
    place = (
        f"round {finished.number}: at {len(noisy)} of {len(finished.halves)} sites ({names}) the choice rests on noise"
    )
    agreed = f"two halves of the data agree on {overlap:.0f} % of the units that stay, chance would on {chance:.0f} %"
    return (f"{place}: {agreed}; give more data, or another method.",)


def _cut(model: nn.Module, run: Run, stage: Stage, part: int, gone: Counter[str]) -> _Cut:
    """One round's cuts: all sites together, or one after the other with the network scored anew in between."""
    task = run.task
    names = find_sites(model, task).names if stage.one_by_one else (None,)
    done = _Cut(model, model, Plan(method=stage.method.name), (), ())
    for name in names:
        sites = find_sites(done.mended, task)
        if name is not None and (name not in sites.names or set(sites[name].twins) & set(names[: names.index(name)])):
            continue  # an earlier cut left it with one unit, or took its units together with its twin's
        scores = score(done.mended, sites, task, stage.method, watch=run.watch)
        widths = {site.name: (site.units + gone[site.name], site.units, site.blocks) for site in sites}
        budget, protected = stage.part(part, widths), _protected(sites, stage.protect, name)
        plan = select(scores, sites, budget, protect=protected, multiple_of=stage.multiple_of)
        steady = of_plan(done.mended, sites, task, stage.method, plan, watch=run.watch) if stage.stability else ()
        small, plan = certified(done.mended, plan, task)
        begun = time.perf_counter()
        repaired = repair(small, done.mended, plan, task, how=stage.compensate)
        done = _Cut(
            cut=small,
            mended=repaired.model,
            plan=compose(done.plan, repaired.plan),
            scores=done.scores + _site_scores(scores, plan, sites.names if name is None else (name,)),
            folds=done.folds + repaired.folds,
            halves=done.halves + steady,
            repairing=done.repairing + time.perf_counter() - begun,
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
        protected |= set(sites.names) - {only, *sites[only].twins}
    return tuple(protected)


def _site_scores(scores: Scores, plan: Plan, names: tuple[str, ...]) -> tuple[SiteScores, ...]:
    edits = {edit.site: edit for edit in plan.edits}
    thresholds = {name: edits[name].threshold if name in edits else None for name in names}
    return tuple(
        SiteScores(name, tuple(scores.values[name].tolist()), plan.removed.get(name, ()), thresholds[name])
        for name in names
    )


def _recovered(model: nn.Module, run: Run, stage: Stage) -> Recovered:
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
