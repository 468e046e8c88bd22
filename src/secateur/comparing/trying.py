"""One cell tried: the line with its recipe, and what came of it."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from secateur.comparison import Cell, Trial
from secateur.errors import CompressionError, DataError, FileError, first_line
from secateur.measurement import measure
from secateur.pipeline import Progress, Run, clocks_for, sites_of, walked, with_test
from secateur.plan import Plan, to_json
from secateur.recipe import from_dict
from secateur.report.layers import in_words
from secateur.result import Event, Measurement, Step
from secateur.scores import Method
from secateur.task import Task

Watch = Callable[[Event], None] | None

# What networks, data and metrics of others raise; what is refused by us is a CompressionError.
_FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Subject:
    """What all cells have in common: the network, the task, and what the network costs and does as it came."""

    model: nn.Module
    task: Task
    untouched: Measurement


@dataclass(frozen=True)
class Tried:
    """What became of a cell, the plan of its network (None where it failed), and whether it would fail again."""

    trial: Trial
    plan: Plan | None = None
    is_final: bool = True


def subject_of(model: nn.Module, task: Task) -> Subject:
    """A network and a task, measured once.

    Raises:
        DataError: the task has nothing to judge on.
        CompressionError: the network cannot be measured.
    """
    measured = with_test(model, measure(model, task, latency=False), task)
    if not measured.quality:
        raise DataError(f"the task has neither validation nor test data, so {task.metric} cannot be judged; give some.")
    return Subject(model, task, measured)


def try_cell(subject: Subject, cell: Cell, *, own: Sequence[Method] = (), watch: Watch = None) -> Tried:
    """What comes of a cell on one torch thread; the same wherever and after whatever else it is tried.

    `own` are methods that cells may name beside those of the package.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, in recovery too.
    """
    began = time.process_time()
    if cell.refusal:
        return Tried(Trial(cell, failure=cell.refusal))
    try:
        with _alone(cell.seed or 0):
            found = _tried(subject, cell, own, watch)
    except CompressionError as error:
        trial = Trial(cell, failure=_in_a_line(str(error)), seconds=time.process_time() - began)
        return Tried(trial, is_final=not isinstance(error, FileError))
    except _FAILURES as error:
        failure = f"{type(error).__name__}: {first_line(error)}"
        return Tried(Trial(cell, failure=failure, seconds=time.process_time() - began), is_final=False)
    return replace(found, trial=replace(found.trial, seconds=time.process_time() - began))


def _tried(subject: Subject, cell: Cell, own: Sequence[Method], watch: Watch) -> Tried:
    model, task, recipe = subject.model, subject.task, from_dict(cell.recipe, own)
    run = Run(model, task, recipe, watch, clocks_for(model, task, recipe))
    start = Progress(subject.model, Plan(method=""), (Step("original", 0, subject.untouched),))
    line = walked(start, run)
    if line.is_over and any(len(one.epochs) < cell.epochs for one in line.rounds):
        raise KeyboardInterrupt
    steps = _tested(line, subject.task)
    failure = _odd(line, steps)
    if failure:
        return Tried(Trial(cell, failure=failure, notes=line.notes))
    gone = {name: len(units) for name, units in line.plan.removed.items()}
    trial = Trial(
        cell,
        steps=steps,
        widths={site.name: (site.units, site.units - gone.get(site.name, 0)) for site in sites_of(run)},
        layers=tuple(in_words(edit) for edit in line.plan.layers),
        shape=hashlib.sha256(to_json(bare(line.plan)).encode()).hexdigest()[:16],
        notes=line.notes,
    )
    return Tried(trial, bare(line.plan))


def bare(plan: Plan) -> Plan:
    """A plan without reasons: what it takes to cut a network again."""
    layers = tuple(replace(edit, score=math.nan, rank=-1, error=math.nan, reason="") for edit in plan.layers)
    return replace(
        plan, method="", edits=(), certificate=None, layers=layers, steps=tuple(bare(step) for step in plan.steps)
    )


def _tested(line: Progress, task: Task) -> tuple[Step, ...]:
    """The steps after the cut, the last as the network leaves: with what was merged, and with the test figures."""
    *others, last = line.steps[1:] or line.steps
    measured = measure(line.model, task, latency=False)
    return (*others, replace(last, measurement=with_test(line.model, measured, task)))


def _odd(line: Progress, steps: tuple[Step, ...]) -> str:
    """Why what came out is no result, or nothing."""
    if not (line.plan.removed or line.plan.layers):
        return _in_a_line(line.notes[-1]) if line.notes else "nothing was removed; raise the budget."
    if line.is_over:  # a later round could not do its part, so what is left is not under the budget
        return _in_a_line(line.notes[-1])
    odd = [name for name, value in steps[-1].measurement.quality.items() if not math.isfinite(value)]
    if odd:
        return f"{odd[0]} is not a finite number after the cut; look for what overflows in the network or the metric."
    return ""


def _in_a_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread and random states of a cell's own, so that it does not matter what runs before or beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
