"""The calibration data in one order, however often it is read, so that an example keeps its number."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from secateur.errors import DataError
from secateur.task import Arguments, Batch, Task, rows_in

SEED = 0


def in_order(task: Task) -> Task:
    """The task with calibration data that comes in the same order each time, also where it is shuffled by torch."""
    return replace(task, calibration=_InOrder(task))


@dataclass(frozen=True)
class _InOrder:
    task: Task

    def __len__(self) -> int:
        """As many batches as the data says that it has; who cannot say raises TypeError."""
        source = self.task.calibration if self.task.calibration is not None else self.task.train
        return len(source)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            batches = self.task.batches("calibration")
            first = next(batches)  # which draws the order
        yield first
        yield from batches


def marks_of(arguments: Arguments) -> Float64[ndarray, " rows"]:
    """A number by which each example is known again."""
    args, kwargs = arguments
    rows = rows_in(arguments)
    marks = np.zeros(rows)
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.dim() and len(value) == rows and not value.is_complex():
            marks = marks + value.detach().double().reshape(rows, -1).sum(1).cpu().numpy()
    return marks


def check_same(before: Float64[ndarray, " rows"], now: Float64[ndarray, " rows"], start: int) -> None:
    """Refuse data that is not what it was when it was first read.

    Raises:
        DataError: names the first example that is another.
    """
    if not np.array_equal(before, now):
        same = before[: len(now)] == now[: len(before)]
        first = start + (int(np.argmin(same)) if not same.all() else len(same))
        raise DataError(
            f"the calibration data changes from reading to reading, first at example {first}, so that no example can "
            "be shown; leave out what shuffles or augments it."
        )
