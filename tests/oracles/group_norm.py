"""`group_norm`, as written: ‖(W_j,:, W'_:,j)‖_p, also by the layer's mean or largest."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The Euclidean length of what makes and reads each unit."""
    return np.array([np.sqrt(sum(w**2 for w in weights)) for weights in _weights(layer)])


def absolute(layer: Layer) -> Array:
    """The sum of absolute values."""
    return np.array([sum(abs(w) for w in weights) for weights in _weights(layer)])


def by_mean(layer: Layer) -> Array:
    """The length, by the mean length."""
    return score(layer) / (sum(score(layer)) / len(layer.incoming))


def by_largest(layer: Layer) -> Array:
    """The length, by the largest."""
    return score(layer) / max(score(layer))


def _weights(layer: Layer) -> list[list[float]]:
    return [[*row, *column] for row, column in zip(layer.incoming, layer.outgoing.T, strict=True)]


SETTINGS = {"absolute": {"p": 1}, "by_mean": {"normalise": "mean"}, "by_largest": {"normalise": "max"}}
