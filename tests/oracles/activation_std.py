"""`activation_std`, as written: σ_j = √((1/n) Σ_i a_ij² − ((1/n) Σ_i a_ij)²)."""

import math

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The standard deviation of each column of activations [rows, units]."""
    rows, units = layer.activations.shape
    columns = [[float(a) for a in layer.activations[:, unit]] for unit in range(units)]
    means = [math.fsum(column) / rows for column in columns]
    squares = [math.fsum((a - mean) ** 2 for a in column) for column, mean in zip(columns, means, strict=True)]
    return np.array([math.sqrt(square / rows) for square in squares])


SETTINGS: dict[str, dict[str, object]] = {}
