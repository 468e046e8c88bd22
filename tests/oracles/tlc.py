"""`tlc`, as written: E_i = Φ(−|β_i| / |γ_i|), the chance that N(β_i, γ_i²) is on the other side than β_i; Σ_i E_i."""

from math import erf, sqrt

import numpy as np

from oracles.rectifier import Array, Rectifier


def error(mean: float, deviation: float) -> float:
    """The chance of the other side; a step where nothing varies."""
    if deviation == 0:
        return 0.0
    return 0.5 * (1 + erf(-abs(mean) / abs(deviation) / sqrt(2)))


def errors(means: Array, deviations: Array) -> list[float]:
    """One for each unit."""
    return [error(mean, deviation) for mean, deviation in zip(means, deviations, strict=True)]


def measured(rectifier: Rectifier) -> float:
    """With mean and deviation of the data."""
    return sum(errors(rectifier.pre.mean(0), rectifier.pre.std(0)))


def score(rectifier: Rectifier) -> float:
    """With β and γ where there is a batch-norm."""
    if rectifier.scale is None or rectifier.shift is None:
        return measured(rectifier)
    return sum(errors(rectifier.shift, rectifier.scale))


def mean(rectifier: Rectifier) -> float:
    """By unit."""
    return score(rectifier) / rectifier.pre.shape[1]


def nearest_norm(rectifier: Rectifier) -> float:
    """The usual network has no batch-norm before a sum, so it makes no difference."""
    return score(rectifier)


def average_of_all(rectifier: Rectifier) -> float:
    """Measured everywhere, by unit."""
    return float(np.mean(errors(rectifier.pre.mean(0), rectifier.pre.std(0))))


SETTINGS = {
    "measured": {"statistic": "mean"},
    "mean": {"pool": "mean"},
    "nearest_norm": {"statistic": "norm"},
    "average_of_all": {"statistic": "mean", "pool": "mean"},
}
