"""One round of the line: cuts, compensation, recovery, and whether it is kept."""

import hashlib
import time
from collections import Counter
from dataclasses import replace

from torch import nn

from secateur.budget import Share
from secateur.composing import compose
from secateur.errors import BudgetError, ModelError
from secateur.measurement import measure
from secateur.pipeline.cuts import cut_by
from secateur.pipeline.progress import Progress, Run
from secateur.plan import Plan
from secateur.recipe import Stage
from secateur.recovery import Recovered, train
from secateur.result import Measurement, Round, Step
from secateur.scores import Masking
from secateur.task import Task


def next_round(line: Progress, run: Run, stage: Stage, part: int, earlier: tuple[Round, ...]) -> Progress:
    """The line after a part of a stage, of which there were some rounds earlier."""
    number = len(line.rounds) + 1
    begun = time.perf_counter()
    gone = Counter(edit.site for round_ in earlier for edit in round_.plan.edits for _ in edit.removed)
    try:
        cut = cut_by(line.model, run, stage, part, gone)
    except (ModelError, BudgetError) as error:
        if number == 1:
            raise
        why = f"no other layer can go: {error}" if stage.to_the_end else str(error)
        return replace(line, notes=(*line.notes, f"round {number}: {why}"), is_over=True)
    run.task.processes.agree(f"round {number}: the plan", _mark_of(cut.plan))
    if not cut.removes and isinstance(stage.budget, Share) and (earlier or part + 1 < stage.rounds):
        return line  # a round's share of so few units is less than one
    if not cut.removes:
        what = f"round {number}: {stage.method.name} under {stage.budget} removes nothing"
        note = f"{what}; {'mask more, or ' if isinstance(stage.method, Masking) else ''}raise the budget."
        return replace(line, notes=(*line.notes, note))
    steps = [_step("cut", number, cut.cut, run.task, begun + cut.repairing)]
    if cut.folds:
        steps.append(_step("compensated", number, cut.mended, run.task, begun))
    recovered = _recovered(cut.mended, run, stage)
    if recovered.epochs:
        steps.append(_step("recovered", number, recovered.model, run.task, begun))
    finished = Round(number, cut.plan, cut.scores, cut.folds, recovered.epochs, halves=cut.halves)
    return _judged(line, run, stage, finished, recovered, tuple(steps))


def _mark_of(plan: Plan) -> str:
    """A checksum of what a plan changes, without what is measured."""
    changes = [
        (part.cuts, part.attributes, part.biased, [layer.changes for layer in part.layers])
        for part in (plan, *plan.steps)
    ]
    return hashlib.sha256(repr(changes).encode()).hexdigest()


def _judged(
    line: Progress, run: Run, stage: Stage, finished: Round, recovered: Recovered, steps: tuple[Step, ...]
) -> Progress:
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
        notes = (*notes, f"round {number} was not kept: {reason}.")
        is_over = recovered.interrupted or stage.form != "mask"  # after masks, layers may go
        return replace(line, rounds=rounds, notes=notes, is_over=is_over)
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
