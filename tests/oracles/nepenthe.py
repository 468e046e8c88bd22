"""`nepenthe`, as written: I_l = mean over units with H_i > 0 of H_i · mean_j |w_ij| over weights that are not zero."""

from math import log2

import numpy as np

from oracles.rectifier import Array, Rectifier


def entropy(column: Array, tolerance: float) -> float:
    """Of the states on and off; 0 where one of them hardly ever is."""
    on, off = sum(x > 0 for x in column), sum(x < 0 for x in column)
    if min(on, off) <= tolerance * (on + off):
        return 0.0
    p = on / (on + off)
    return -p * log2(p) - (1 - p) * log2(1 - p)


def importance(rectifier: Rectifier, tolerance: float) -> float:
    """Units whose entropy is 0 are left out."""
    found = []
    for unit, weights in enumerate(rectifier.incoming):
        h = entropy(rectifier.pre[:, unit], tolerance)
        if h > 0:
            left = [abs(w) for w in weights if w != 0]
            found.append(h * sum(left) / len(left))
    return float(np.mean(found)) if found else 0.0


def score(rectifier: Rectifier) -> float:
    """With the tolerance of the specification."""
    return importance(rectifier, 1e-6)


def tolerant(rectifier: Rectifier) -> float:
    """A unit counts that is on the other side for more than a third of the data."""
    return importance(rectifier, 1 / 3)


SETTINGS = {"tolerant": {"tolerance": 1 / 3}}
