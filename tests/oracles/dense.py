"""`dense`, as written: v_j = (1/n) Σ_i (a_ij − μ_j)² of the activations that the next layer reads."""

import numpy as np

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The variance of each column of activations [rows, units]."""
    rows, units = layer.activations.shape
    variances = np.zeros(units)
    for unit in range(units):
        mean = sum(layer.activations[:, unit]) / rows
        variances[unit] = sum((a - mean) ** 2 for a in layer.activations[:, unit]) / rows
    return variances


def weighted(layer: Layer) -> Array:
    """v_j ‖W_:,j‖², with the weights [outputs, units] that read unit j."""
    variances = score(layer)
    return np.array([v * sum(w**2 for w in layer.outgoing[:, unit]) for unit, v in enumerate(variances)])


def std(layer: Layer) -> Array:
    """The square root of the variance."""
    return np.sqrt(score(layer))


SETTINGS = {"std": {"measure": "std"}, "weighted": {"measure": "weighted"}}
