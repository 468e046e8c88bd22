"""Latencies of the networks of a comparison: each in turns with the untouched one, nothing else being done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import nn

from secateur.comparison import Timing, Trial
from secateur.measurement import compare_latency
from secateur.plan import Plan
from secateur.replay import replay_
from secateur.task import Task
from secateur.width import copied

BATCH_SIZES = (1, 32)

OnTimed = Callable[[Trial], None]


def timed(
    model: nn.Module,
    task: Task,
    trials: Sequence[Trial],
    plans: Mapping[str, Plan],
    *,
    on_timed: OnTimed | None = None,
) -> tuple[Trial, ...]:
    """The trials with their latencies, in the same order; `plans` are those of the shapes.

    A latency is that of the shape: the network is cut anew by its plan, and those of one shape are timed once. Timed in
    turns with the untouched network, what slows the machine down slows both.
    """
    known = {trial.shape: trial.timings for trial in trials if trial.timings}
    done = list(trials)
    for place, trial in enumerate(trials):
        if trial.failure or trial.timings:
            continue
        if trial.shape not in known:
            known[trial.shape] = _timings(model, task, plans[trial.shape])
        done[place] = replace(trial, timings=known[trial.shape])
        if on_timed is not None:
            on_timed(done[place])
    return tuple(done)


def _timings(model: nn.Module, task: Task, plan: Plan) -> tuple[Timing, ...]:
    small = copied(model)
    replay_(small, plan)
    pairs = (compare_latency([small, model], task, size) for size in BATCH_SIZES)
    return tuple(Timing(own, untouched) for own, untouched in pairs)
