"""`bn_scale`, as written: |γ_j|."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The size of the norm's scale of each unit."""
    return np.array([abs(gamma) for gamma in layer.scale])


SETTINGS: dict[str, dict[str, object]] = {}
