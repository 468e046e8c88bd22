"""The calibration examples that layers are mended on, and those of them that only judge."""

from collections.abc import Iterator

import torch
from torch import Tensor

from secateur.task import Arguments, Task

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


def rows_in(arguments: Arguments) -> int:
    """How many examples a model's arguments hold."""
    args, kwargs = arguments
    return next((len(v) for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.dim()), 0)


def rows_at(arguments: Arguments, places: slice) -> Arguments:
    """Some of the examples in a model's arguments."""
    size = rows_in(arguments)

    def at(value: object) -> object:
        return value[places] if isinstance(value, Tensor) and value.dim() and len(value) == size else value

    args, kwargs = arguments
    return tuple(at(value) for value in args), {key: at(value) for key, value in kwargs.items()}


def unseen_among(examples: Tensor, *, before: int, rows_before: int, total: int) -> Tensor:
    """Which rows, each of an example, only judge: those of every fifth example, or every fifth row of few examples.

    `before` examples and `rows_before` rows came in earlier batches, of `total` examples in all: what is unseen does
    not depend on how the data is batched.
    """
    if total >= 2 * UNSEEN:
        return (examples + before) % UNSEEN == UNSEEN - 1
    return torch.arange(rows_before, rows_before + len(examples)) % UNSEEN == UNSEEN - 1
