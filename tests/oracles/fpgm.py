"""`fpgm`, as written: Σ_k ‖W_j,: − W_k,:‖."""

import math

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The distances of each row of incoming weights to all others, added up."""
    return np.array([math.fsum(math.dist(row, other) for other in layer.incoming) for row in layer.incoming])


SETTINGS: dict[str, dict[str, object]] = {}
