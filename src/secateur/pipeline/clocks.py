"""The clocks of a run, one for each kind of call that a budget of latency is for, and how right they were."""

from collections.abc import Mapping

from torch import nn

from secateur.budget import Budget, Latency
from secateur.measurement import compare_latency
from secateur.recipe import Recipe
from secateur.task import Task
from secateur.timing import Clock, clock_for

Clocks = Mapping[tuple[int, int], Clock]  # by rows and threads


def clocks_for(model: nn.Module, task: Task, recipe: Recipe) -> Clocks:
    """A clock for every number of rows and threads that a stage's budget names."""
    return {key: clock_for(model, task, *key) for stage in recipe.stages if (key := _calls(stage.budget))}


def clock_of(clocks: Clocks, budget: Budget, model: nn.Module) -> Clock | None:
    """The clock that a budget needs, for plans of a network that came from the original; None where it needs none."""
    key = _calls(budget)
    return clocks[key].on(model) if key else None


def told(clocks: Clocks, original: nn.Module, final: nn.Module, task: Task) -> tuple[str, ...]:
    """For every clock what it predicts of the last network, and what is measured, in turns with the original."""
    notes = []
    for (rows, threads), clock in clocks.items():
        before, after = compare_latency([original, final], task, rows, threads=threads)
        predicted = clock.milliseconds(final)
        calls = f"{rows} row{'s' * (rows > 1)}, {threads} thread{'s' * (threads > 1)}"
        share, found = predicted / clock.original, after.median_ms / before.median_ms
        notes.append(
            f"latency ({calls}): {share:.2f} of the original's predicted ({predicted:.3g} of {clock.original:.3g} ms), "
            f"{found:.2f} measured ({after.median_ms:.3g} of {before.median_ms:.3g} ms)."
        )
    return tuple(notes)


def _calls(budget: Budget) -> tuple[int, int] | None:
    return (budget.batch_size, budget.threads) if isinstance(budget, Latency) else None
