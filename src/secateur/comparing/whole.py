"""A whole comparison in this process, one cell after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from secateur.comparing.grid import Grid
from secateur.comparing.keeping import keeping_in
from secateur.comparing.ranking import ranked
from secateur.comparing.timing import BATCH_SIZES, timed
from secateur.comparing.trying import Subject, subject_of, try_cell
from secateur.comparison import Comparison, Trial
from secateur.measurement import measure_latency
from secateur.pipeline import versions
from secateur.result import Event
from secateur.scores import Method
from secateur.task import Task

Watch = Callable[[Event], None] | None


def compare(
    model: nn.Module, task: Task, grid: Grid, *, folder: str | Path | None = None, watch: Watch = None
) -> Comparison:
    """What every cell of a grid gives, ranked under each budget; a cell that fails is kept, with its reason.

    All cells start from the same network and data, and train alike; each runs on one torch thread. Latencies are
    measured at the end, each network in turns with the given one, which is never touched. `watch` hears of progress.

    A `folder` keeps every cell as soon as it is finished, so that after a kill, or with a larger grid, only what is
    missing is tried. It is for one network and task: other weights, or other figures of the network, are refused. What
    these do not show, the training data and the loss above all, is not noticed; after a change there, give another
    folder. Cells of a method that no file defines (in a notebook) are not kept.

    Raises:
        CompressionError: the network cannot be traced, the task has nothing to judge it on, or the folder holds
            something else.
        KeyboardInterrupt: Ctrl-C was pressed, in recovery too.
    """
    subject, cells = subject_of(model, task), grid.cells
    own = [method for method in grid.methods if isinstance(method, Method)]
    keeping = keeping_in(None if folder is None else Path(folder), subject, own)
    found = []
    for number, cell in enumerate(cells):
        if watch is not None:
            watch(Event("cells", number, len(cells)))
        known = keeping.known(cell)
        found.append(known or keeping.keep(cell, try_cell(subject, cell, own=own, watch=watch)))
    plans = {trial.shape: plan for trial, plan in found if plan is not None}
    trials = [trial for trial, _ in found]
    done = timed(model, task, trials, plans, on_timed=lambda trial: keeping.write(trial, plans[trial.shape]))
    return concluded(subject, done)


def concluded(
    subject: Subject, trials: Sequence[Trial], *, settings: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
) -> Comparison:
    """The comparison that some trials of all cells make, ranked, with the untouched network timed beside them."""
    times = tuple(measure_latency(subject.model, subject.task, size) for size in BATCH_SIZES)
    untouched = replace(subject.untouched, latency=times)
    bare = Comparison(
        subject.task.metric, untouched, tuple(trials), (), dict(settings or {}), versions(), notes=tuple(notes)
    )
    return replace(bare, rankings=ranked(trials, bare.decisive))
