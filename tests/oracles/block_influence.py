"""`block_influence`, as written: 1 − mean over tokens of x·y / (‖x‖ ‖y‖), x going into a block and y coming out."""

from math import sqrt

import numpy as np

from oracles.rectifier import Array, Rectifier


def cosine(x: Array, y: Array) -> float:
    """0 beside nothing, 1 where both are nothing."""
    lengths = sqrt(sum(x**2)) * sqrt(sum(y**2))
    if lengths == 0:
        return float(not x.any() and not y.any())
    return float(sum(x * y)) / lengths


def influence(before: Array, after: Array) -> float:
    """One less the mean cosine of rows."""
    return 1 - sum(cosine(x, y) for x, y in zip(before, after, strict=True)) / len(before)


def score(rectifier: Rectifier) -> float:
    """Of the block; 2 where there is none."""
    return 2.0 if rectifier.block is None else influence(*rectifier.block)


def alone(rectifier: Rectifier) -> float:
    """Of the activation itself."""
    return influence(rectifier.pre, np.concatenate(rectifier.after))


SETTINGS = {"alone": {"around": "activation"}}
