"""Batches that can be read again and again: slices of tensors in memory, or of a file read in chunks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.errors import DataError, SettingsError

Rows = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class TensorBatches:
    """Batches of consecutive rows of tensors.

    `shuffle` draws a new order at each reading, from torch's global generator. A last row alone joins the batch before
    it, since batch norm cannot train on one row.
    """

    tensors: Rows
    batch_size: int = 256
    shuffle: bool = False

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)
        lengths = [len(tensor) for tensor in self.tensors]
        if len(set(lengths)) != 1:
            raise DataError(
                f"the tensors of a table have {lengths} rows; they must have equally many, and be at least one."
            )

    def __len__(self) -> int:
        return count_batches(len(self.tensors[0]), self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        rows = len(self.tensors[0])
        order = torch.randperm(rows) if self.shuffle else None
        for start, end in spans(rows, self.batch_size):
            chosen = slice(start, end) if order is None else order[start:end]
            yield tuple(tensor[chosen] for tensor in self.tensors)


@dataclass(frozen=True, eq=False)
class StreamedBatches:
    """The same batches over a part of a file, read chunk by chunk: memory does not grow with the rows.

    `shuffle` mixes the rows of a chunk only.
    """

    chunks: Iterable[Any]
    encode: Callable[[Any], Rows]
    rows: int
    batch_size: int = 256
    shuffle: bool = False

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)

    def __len__(self) -> int:
        return count_batches(self.rows, self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        rest: Rows = ()
        for chunk in self.chunks:
            rows = self._mixed(self.encode(chunk))
            rest = tuple(torch.cat(pair) for pair in zip(rest, rows, strict=True)) if rest else rows
            start = 0
            while len(rest[0]) - start > self.batch_size + 1:
                yield tuple(tensor[start : start + self.batch_size] for tensor in rest)
                start += self.batch_size
            rest = tuple(tensor[start:].clone() for tensor in rest)
        if rest:
            yield from TensorBatches(rest, self.batch_size)

    def _mixed(self, rows: Rows) -> Rows:
        if not self.shuffle:
            return rows
        order = torch.randperm(len(rows[0]))
        return tuple(tensor[order] for tensor in rows)


def count_batches(rows: int, batch_size: int) -> int:
    """How many batches the rows fill, when a last row alone joins the batch before it."""
    lone = rows > batch_size > 1 and rows % batch_size == 1
    return -(-rows // batch_size) - int(lone)


def spans(rows: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """First row and end of each batch; see `count_batches`."""
    last = count_batches(rows, batch_size) - 1
    for number in range(last + 1):
        yield number * batch_size, rows if number == last else (number + 1) * batch_size


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise SettingsError(f"batch_size is {batch_size}; it must be at least 1.")
