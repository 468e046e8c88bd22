"""`apoz`, as written: 1 − (1/n) Σ_i [a_ij = 0]."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """One less the share of zeros in each column of activations."""
    rows, units = layer.activations.shape
    return np.array([1.0 - sum(layer.activations[i, j] == 0.0 for i in range(rows)) / rows for j in range(units)])


SETTINGS: dict[str, dict[str, object]] = {}
