"""`magnitude`, as written: ‖W_j,:‖_p over the weights that make unit j."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def score(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The Euclidean length of each row of the incoming weights [units, inputs]."""
    del activations, outgoing
    return np.array([np.sqrt(sum(w**2 for w in row)) for row in incoming])


def absolute(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The sum of absolute values of each row."""
    del activations, outgoing
    return np.array([sum(abs(w) for w in row) for row in incoming])


SETTINGS = {"absolute": {"p": 1}}
