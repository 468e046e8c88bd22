"""`hrank`, as written: (1/n) Σ_i rank(o_ij), of maps of one entry."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The mean rank of each unit's 1×1 maps."""
    rows, units = layer.activations.shape
    ranks = [
        [np.linalg.matrix_rank(layer.activations[i : i + 1, j : j + 1]) for i in range(rows)] for j in range(units)
    ]
    return np.array([sum(unit) / rows for unit in ranks])


SETTINGS: dict[str, dict[str, object]] = {}
