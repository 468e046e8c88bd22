"""`taylor`, as written: (1/n) Σ_i |a_ij ∂L_i/∂a_ij|; squared, as of 2019."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The mean, over rows, of each unit's |output times gradient|."""
    rows, units = layer.activations.shape
    terms = [[layer.activations[i, j] * layer.gradients[i, j] for i in range(rows)] for j in range(units)]
    return np.array([sum(abs(term) for term in unit) / rows for unit in terms])


def squared(layer: Layer) -> Array:
    """The mean of the squares."""
    rows, units = layer.activations.shape
    terms = [[layer.activations[i, j] * layer.gradients[i, j] for i in range(rows)] for j in range(units)]
    return np.array([sum(term**2 for term in unit) / rows for unit in terms])


SETTINGS = {"squared": {"power": 2}}
