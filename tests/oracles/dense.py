"""`dense`, as written: v_j = (1/n) Σ_i (a_ij − μ_j)² of the activations that the next layer reads."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def score(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The variance of each column of activations [rows, units]."""
    del incoming, outgoing
    rows, units = activations.shape
    variances = np.zeros(units)
    for unit in range(units):
        mean = sum(activations[:, unit]) / rows
        variances[unit] = sum((a - mean) ** 2 for a in activations[:, unit]) / rows
    return variances


def weighted(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """v_j ‖W_:,j‖², with the weights [outputs, units] that read unit j."""
    variances = score(activations, incoming, outgoing)
    return np.array([v * sum(w**2 for w in outgoing[:, unit]) for unit, v in enumerate(variances)])


def std(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The square root of the variance."""
    return np.sqrt(score(activations, incoming, outgoing))


SETTINGS = {"std": {"measure": "std"}, "weighted": {"measure": "weighted"}}
