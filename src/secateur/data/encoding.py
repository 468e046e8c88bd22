"""How the columns of a table become features; everything is learned from the training rows alone."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32
from numpy import ndarray

from secateur.data.columns import MAX_CATEGORIES
from secateur.data.moments import Moments, Sample, enlarged, joined, moments, repeated
from secateur.errors import DataError

EXACT = 5  # decimals, in standard deviations, that a float32 is sure of
UNKNOWN = "a text that training lacks"
MISSING = "missing"  # the category of an entry that is not there


@dataclass(frozen=True)
class Number:
    """A column of numbers: gaps are filled, then it is standardised; `std` is 0 where all training values are equal."""

    name: str
    fill: float
    mean: float
    std: float

    @property
    def features(self) -> tuple[str, ...]:
        """The name of its one feature."""
        return (self.name,)

    def write(self, column: Any, features: Float32[ndarray, "rows width"]) -> None:
        """Fills in this column's features, in place."""
        values = column.to_numpy(dtype=np.float64)
        values = np.where(np.isnan(values), self.fill, values)
        features[:, 0] = (values - self.mean) / self.std if self.std > 0 else 0.0

    def read(self, features: Float32[ndarray, " width"]) -> float:
        """What the column holds in a row, as exactly as float32 has kept it; a gap holds what filled it."""
        if not self.std:
            return self.mean
        return round(float(features[0]) * self.std + self.mean, EXACT - math.floor(math.log10(self.std)))


@dataclass(frozen=True)
class Category:
    """A column of text: one feature for each category; all are 0 for a text that training lacks."""

    name: str
    categories: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features."""
        return tuple(f"{self.name}={category}" for category in self.categories)

    def write(self, column: Any, features: Float32[ndarray, "rows width"]) -> None:
        """Fills in this column's features, in place."""
        place = pd.Index(self.categories, dtype="str").get_indexer(column.fillna(MISSING))
        known = np.flatnonzero(place >= 0)
        features[known, place[known]] = 1.0

    def read(self, features: Float32[ndarray, " width"]) -> str:
        """What the column holds in a row."""
        return self.categories[int(features.argmax())] if features.any() else UNKNOWN


@dataclass(frozen=True)
class Encoding:
    """What turns a table into features, column by column."""

    columns: tuple[Number | Category, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features in order: a column's name, or `column=category`."""
        return tuple(feature for column in self.columns for feature in column.features)

    def encode(self, table: Any) -> Float32[ndarray, "rows features"]:
        """The features of every row."""
        features = np.zeros((len(table), len(self.feature_names)), dtype=np.float32)
        start = 0
        for column in self.columns:
            end = start + len(column.features)
            column.write(table[column.name], features[:, start:end])
            start = end
        return features

    def decode(self, features: Float32[ndarray, " features"]) -> tuple[tuple[str, str | float], ...]:
        """What each column holds in a row, from its features."""
        ends = accumulate(len(column.features) for column in self.columns)
        return tuple(
            (column.name, column.read(features[end - len(column.features) : end]))
            for column, end in zip(self.columns, ends, strict=True)
        )


@dataclass(frozen=True)
class Wanted:
    """Which columns are numbers, which are text, and which of the numbers have gaps to fill.

    The median that fills a gap is that of at most `sample_rows` training rows, drawn with `seed`; None takes all.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    sample_rows: int | None = None
    seed: int = 0


def fit(chunks: Iterable[Any], wanted: Wanted, place: str) -> Mapping[str, Number | Category]:
    """How to encode each column, learned from chunks of training rows.

    Raises:
        DataError: a column of text has too many categories.
    """
    total = moments(np.empty((0, len(wanted.numbers))))
    sample = Sample(np.empty(0), np.empty((0, len(wanted.gaps))), wanted.sample_rows)
    found: dict[str, set[str]] = {name: set() for name in wanted.texts}
    generator = np.random.default_rng(wanted.seed)
    rows = 0
    for chunk in chunks:
        rows += len(chunk)
        total = joined(total, moments(chunk[list(wanted.numbers)].to_numpy(dtype=np.float64)))
        if wanted.gaps:
            sample = enlarged(sample, chunk[list(wanted.gaps)].to_numpy(dtype=np.float64), generator)
        for name, categories in found.items():
            categories.update(chunk[name].fillna(MISSING).unique())
            _check_number(name, categories, place)
    fills = dict(zip(wanted.gaps, sample.medians.tolist(), strict=True))
    numbers = _numbers(wanted.numbers, total, fills, rows)
    return {**numbers, **{name: Category(name, tuple(sorted(found[name]))) for name in found}}


def _numbers(names: tuple[str, ...], seen: Moments, fills: Mapping[str, float], rows: int) -> dict[str, Number]:
    """Mean and spread after the gaps are filled."""
    fill = np.array([fills.get(name, 0.0) for name in names])
    filled = joined(seen, repeated(fill, rows - seen.count))
    columns = zip(names, fill.tolist(), filled.mean.tolist(), filled.std.tolist(), strict=True)
    return {name: Number(name, *values) for name, *values in columns}


def _check_number(name: str, categories: set[str], place: str) -> None:
    if len(categories) > MAX_CATEGORIES:
        found = f"column {name!r} has more than {MAX_CATEGORIES} different texts, such as {min(categories)!r}"
        raise DataError(f"{place}: {found}; leave the column out, or give its odd entries as missing=TEXT.")
