"""Which rows train, validate and test."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, Int8
from numpy import ndarray

from secateur.errors import SettingsError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
BLOCK_ROWS = 65_536
DRAWS = 4_096


@dataclass(frozen=True)
class Shares:
    """The shares of the rows that validate and test; the others train."""

    validation: float = 0.2
    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        inside = self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1
        if not inside:  # also where a share is NaN
            found = f"validation={self.validation}, test={self.test}"
            raise SettingsError(f"{found}: both must be at least 0, and less than 1 together; the other rows train.")


@dataclass(frozen=True, eq=False)
class Selected:
    """Chosen rows of a table in memory, in blocks."""

    table: Any
    rows: Int[ndarray, " rows"]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.rows), BLOCK_ROWS):
            yield self.table.iloc[self.rows[start : start + BLOCK_ROWS]]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The rows of one part of a table that is read in chunks; every reading draws the same rows."""

    chunks: Iterable[Any]
    part: Part
    shares: Shares

    def __iter__(self) -> Iterator[Any]:
        generator = np.random.default_rng(self.shares.seed)
        wanted = PARTS.index(self.part)
        for chunk in self.chunks:
            yield chunk[_draw(len(chunk), self.shares, generator) == wanted]


def split(labels: Int[ndarray, " rows"], shares: Shares) -> dict[Part, Int[ndarray, " _"]]:
    """The row numbers of each part, ascending; every class has nearly its share in each part.

    Each class keeps a row in training, and a part with a share above 0 gets a row. Equal labels give a plain random
    split.
    """
    generator = np.random.default_rng(shares.seed)
    order = generator.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    first_of_class = np.diff(labels[order], prepend=labels[order[0]] - 1) != 0
    free = order[~first_of_class]
    test, free = taken_evenly(free, _rounded(shares.test * len(labels), shares.test))
    validation, free = taken_evenly(free, _rounded(shares.validation * len(labels), shares.validation))
    train = np.concatenate([order[first_of_class], free])
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def count_drawn(rows: int, shares: Shares) -> dict[Part, int]:
    """How many rows of a table `Drawn` gives to each part."""
    generator = np.random.default_rng(shares.seed)
    counts = np.zeros(len(PARTS), dtype=np.int64)
    for start in range(0, rows, DRAWS):
        drawn = _draw(min(DRAWS, rows - start), shares, generator)
        counts += np.bincount(drawn, minlength=len(PARTS))
    return {part: int(count) for part, count in zip(PARTS, counts, strict=True)}


def _draw(rows: int, shares: Shares, generator: np.random.Generator) -> Int8[ndarray, " rows"]:
    """The number of each row's part. One draw a row, so that chunks of any size give the same parts."""
    draws = generator.random(rows)
    return np.select([draws < shares.test, draws < shares.test + shares.validation], [2, 1], 0).astype(np.int8)


def taken_evenly(rows: Int[ndarray, " rows"], count: int) -> tuple[Int[ndarray, " taken"], Int[ndarray, " left"]]:
    """Rows at equal distances, and the others; taken from rows ordered by class, each class gives its share."""
    count = min(count, len(rows))
    places = ((np.arange(count) + 0.5) * len(rows) / max(count, 1)).astype(np.int64)
    return rows[places], np.delete(rows, places)


def _rounded(count: float, share: float) -> int:
    return max(round(count), 1) if share > 0 else 0
