"""`magnitude`, as written: ‖W_j,:‖_p over the weights that make unit j."""

import numpy as np

from oracles.layer import Array, Layer
from oracles.rectifier import Rectifier


def score(layer: Layer) -> Array:
    """The Euclidean length of each row of the incoming weights [units, inputs]."""
    return np.array([np.sqrt(sum(w**2 for w in row)) for row in layer.incoming])


def absolute(layer: Layer) -> Array:
    """The sum of absolute values of each row."""
    return np.array([sum(abs(w) for w in row) for row in layer.incoming])


SETTINGS = {"absolute": {"p": 1}}


def layers(rectifier: Rectifier) -> float:
    """The root of the mean square of all weights that lead to an activation."""
    return float(np.sqrt(sum(w**2 for w in rectifier.incoming.flat) / rectifier.incoming.size))


def absolute_layers(rectifier: Rectifier) -> float:
    """The mean of their absolute values."""
    return sum(abs(w) for w in rectifier.incoming.flat) / rectifier.incoming.size


OF_LAYERS = {"layers": {"granularity": "layer"}, "absolute_layers": {"granularity": "layer", "p": 1}}
