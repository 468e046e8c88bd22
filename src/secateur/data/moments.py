"""Mean, spread, extremes and medians of columns with gaps, gathered chunk by chunk."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray


@dataclass(frozen=True)
class Moments:
    """Count, mean, summed squared deviations and extremes of the numbers in each column; NaN is a gap."""

    count: Float64[ndarray, " columns"]
    mean: Float64[ndarray, " columns"]
    squares: Float64[ndarray, " columns"]
    low: Float64[ndarray, " columns"]
    high: Float64[ndarray, " columns"]

    @property
    def std(self) -> Float64[ndarray, " columns"]:
        """The population's standard deviation; exactly 0 where all numbers are equal, or there are none."""
        return np.where(self.low < self.high, np.sqrt(self.squares / np.maximum(self.count, 1)), 0.0)


def moments(values: Float64[ndarray, "rows columns"]) -> Moments:
    """The moments of one chunk."""
    present = ~np.isnan(values)
    count = present.sum(axis=0).astype(np.float64)
    mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.square(np.where(present, values - mean, 0.0)).sum(axis=0)
    low = np.where(present, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(present, values, -np.inf).max(axis=0, initial=-np.inf)
    return Moments(count, mean, squares, low, high)


def repeated(value: Float64[ndarray, " columns"], count: Float64[ndarray, " columns"]) -> Moments:
    """The moments of one value per column, so many times."""
    some = count > 0
    low, high = np.where(some, value, np.inf), np.where(some, value, -np.inf)
    return Moments(count, np.where(some, value, 0.0), np.zeros_like(value), low, high)


def joined(a: Moments, b: Moments) -> Moments:
    """The moments of both together (Chan, Golub, LeVeque 1979)."""
    count = a.count + b.count
    step = b.mean - a.mean
    share = b.count / np.maximum(count, 1)
    return Moments(
        count=count,
        mean=a.mean + step * share,
        squares=a.squares + b.squares + np.square(step) * a.count * share,
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
    )


@dataclass(frozen=True)
class Sample:
    """At most `limit` rows out of all that were added, each equally likely: those that drew the lowest numbers."""

    draws: Float64[ndarray, " rows"]
    values: Float64[ndarray, "rows columns"]
    limit: int | None

    @property
    def medians(self) -> Float64[ndarray, " columns"]:
        """The median of each column's numbers; 0 for a column without any."""
        columns = [column[~np.isnan(column)] for column in self.values.T]
        return np.array([np.median(column) if len(column) else 0.0 for column in columns])


def enlarged(sample: Sample, values: Float64[ndarray, "more columns"], generator: np.random.Generator) -> Sample:
    """The sample after more rows were added."""
    draws = np.concatenate([sample.draws, generator.random(len(values))])
    rows = np.concatenate([sample.values, values])
    if sample.limit is None or len(draws) <= sample.limit:
        return Sample(draws, rows, sample.limit)
    chosen = np.argpartition(draws, sample.limit)[: sample.limit]
    return Sample(draws[chosen], rows[chosen], sample.limit)
