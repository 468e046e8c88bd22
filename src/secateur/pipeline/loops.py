"""The two loops: stages of a recipe, rounds of a stage."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from torch import nn

from secateur.budget import Share
from secateur.errors import DataError
from secateur.finding import find_sites
from secateur.inference import device_of
from secateur.measurement import measure
from secateur.pipeline.clocks import clocks_for
from secateur.pipeline.outcome import result_of
from secateur.pipeline.progress import Place, Progress, Run, Watch
from secateur.pipeline.rounds import next_round
from secateur.plan import Plan
from secateur.recipe import Recipe, Stage
from secateur.result import Result, Step
from secateur.sharing import check_alike, shared
from secateur.sites import Sites
from secateur.staging import recipe_of
from secateur.task import Task
from secateur.width import copied

OnRound = Callable[[Progress], None] | None


def compress(
    model: nn.Module,
    task: Task,
    recipe: Recipe | str | Path,
    *,
    watch: Watch = None,
    on_round: OnRound = None,
    start: Progress | None = None,
) -> Result[nn.Module]:
    """A smaller network and how it came to be; the given model is never touched.

    `recipe` is a Recipe, a method's name or a TOML file. `watch` hears of progress, `on_round` gets the run's progress
    after every round that is kept, as soon as it is done. From such a progress as `start`, with the same model, task
    and recipe, a run goes on where it was, to the same end. Ctrl-C during recovery ends the run with what is finished,
    and a note says so.

    Started by `accelerate launch` or `torchrun`, all processes have to call it, with the same model and all of the
    data: they share the work, and all get the plan and, up to rounding, the network of one process. `watch` and
    `on_round` are called in the main one.

    Raises:
        CompressionError: something is refused; the message says what and how to go on.
    """
    with shared(task, device_of(model)) as together:
        check_alike(model, together)
        run = Run(model, together, recipe_of(recipe), watch if together.processes.is_main else None)
        return _compressed(run, on_round, start)


def _compressed(run: Run, on_round: OnRound, start: Progress | None) -> Result[nn.Module]:
    """The result of a run, from its beginning or from where it was."""
    model, task = run.original, run.task
    if run.recipe.max_drop is not None and task.validation is None:
        raise DataError(
            f"max_drop={run.recipe.max_drop:g} is judged on validation data; give it as Task.…(validation=…)."
        )
    run = replace(run, clocks=clocks_for(model, task, run.recipe))
    sites = sites_of(run)
    return result_of(walked(_begun(run) if start is None else start, run, on_round), run, sites)


def sites_of(run: Run) -> Sites:
    """The sites of the run's network, where any stage removes units."""
    of_units = any(stage.method.granularity == "unit" for stage in run.recipe.stages)
    return find_sites(run.original, run.task) if of_units else Sites(())


def _begun(run: Run) -> Progress:
    """A run before its first round."""
    original = Step("original", 0, measure(run.original, run.task, latency=False))
    return Progress(run.original, Plan(method=""), (original,))


def walked(start: Progress, run: Run, on_round: OnRound = None) -> Progress:
    """A run after all its rounds, from some progress on; the network in that is never touched."""
    line = replace(start, model=copied(start.model))
    for number in range(line.place.stage, len(run.recipe.stages)):
        line = _through(line, run, number, on_round)
    return line


def _through(line: Progress, run: Run, number: int, on_round: OnRound) -> Progress:
    """The line after what is left of a stage."""
    stage = run.recipe.stages[number]
    place = line.place if line.place.stage == number else Place(number)
    for part in count(place.part) if stage.to_the_end else range(place.part, stage.rounds):
        if line.is_over:
            break
        done = len(line.rounds)
        line = next_round(line, run, stage, part, line.rounds[done - place.rounds :])
        place = Place(number, part + 1, place.rounds + len(line.rounds) - done)
        line = replace(line, place=place)
        if _is_through(line, done, stage):
            break
        if len(line.rounds) > done and line.rounds[-1].kept and on_round:
            run.task.processes.from_main(partial(on_round, line))
    return line


def _is_through(line: Progress, done: int, stage: Stage) -> bool:
    """Whether a stage has ended early: nothing was removed or kept, nor would another round be."""
    if len(line.rounds) == done:
        return not isinstance(stage.budget, Share) or stage.to_the_end
    return not line.rounds[-1].kept
