"""The calibration examples that layers are mended on, and those of them that only judge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, zip_longest

import torch
from torch import Tensor

from secateur.processes import ALONE, Processes
from secateur.stats import Gram
from secateur.task import Arguments, Task, rows_at, rows_in

UNSEEN = 5  # every fifth example is kept from the fit, for the guard


def argument_batches(task: Task, rows: int) -> Iterator[Arguments]:
    """The model's arguments in the calibration data, up to a number of examples."""
    for batch in task.batches("calibration"):
        arguments = task.arguments(batch)
        taken = min(rows_in(arguments), rows)
        yield rows_at(arguments, slice(taken))
        rows -= taken
        if rows <= 0:
            return


@dataclass(frozen=True)
class Own:
    """This process's batches, and the processes that have the others; it is alone with all of them where they are few.

    Each of several has at least one batch.
    """

    batches: list[Arguments]
    processes: Processes


def own_batches(task: Task, rows: int) -> Own:
    """The calibration examples, up to a number of them, as the task's processes share them."""
    batches, processes = list(argument_batches(task, rows)), task.processes
    if len(batches) < processes.size or sum(map(rows_in, batches)) < 2 * UNSEEN:
        return Own(batches, ALONE)
    return Own(list(processes.own(batches)), processes)


def starts_of(lengths: Sequence[int], processes: Processes) -> tuple[int, ...]:
    """How many examples come before each of this process's batches of such lengths, and how many there are in all."""
    turns = zip_longest(*processes.each(lambda: list(lengths)))
    starts = [0, *accumulate(length for turn in turns for length in turn if length is not None)]
    return (*processes.own(starts[:-1]), starts[-1])


def grams_of_all(grams: Sequence[Gram], processes: Processes) -> list[Gram]:
    """The sums of all processes together."""
    if processes.is_alone:
        return list(grams)
    parts = [part for gram in grams for part in (gram.inputs.new_tensor(float(gram.count)), *_sums(gram))]
    found = iter(processes.summed(parts))
    return [Gram(int(next(found)), next(found), next(found), next(found)) for _ in grams]


def _sums(gram: Gram) -> tuple[Tensor, Tensor, Tensor]:
    return gram.inputs, gram.cross, gram.squares


def unseen_among(examples: Tensor, *, before: int, rows_before: int, total: int) -> Tensor:
    """Which rows, each of an example, only judge: those of every fifth example, or every fifth row of few examples.

    `before` examples and `rows_before` rows came in earlier batches, of `total` examples in all: what is unseen does
    not depend on how the data is batched.
    """
    if total >= 2 * UNSEEN:
        return (examples + before) % UNSEEN == UNSEEN - 1
    return torch.arange(rows_before, rows_before + len(examples)) % UNSEEN == UNSEEN - 1
