"""`easier`, as written: H_i = −p log2 p − (1 − p) log2 (1 − p) with p the share of on; a layer's is the mean of H_i."""

from collections.abc import Callable
from math import log2

import numpy as np

from oracles.rectifier import Array, Rectifier


def state(x: float) -> int:
    """+1 on, -1 off, 0 of no account."""
    return 1 if x > 0 else -1 if x < 0 else 0


def code_state(x: float) -> int:
    """The authors' code: zero is on."""
    return 1 if x >= 0 else -1


def entropy(column: Array, state_of: Callable[[float], int]) -> float:
    """The entropy of one unit's states."""
    states = [state_of(x) for x in column]
    total = sum(abs(s) for s in states)
    if total == 0:
        return 0.0
    p = sum(s == 1 for s in states) / total
    return -sum(q * log2(q) for q in (p, 1 - p) if q > 0)


def layer_entropy(pre: Array, state_of: Callable[[float], int]) -> float:
    """The mean over units."""
    return float(np.mean([entropy(pre[:, unit], state_of) for unit in range(pre.shape[1])]))


def score(rectifier: Rectifier) -> float:
    """Over all data at once."""
    return layer_entropy(rectifier.pre, state)


def two(rectifier: Rectifier) -> float:
    """With two states."""
    return layer_entropy(rectifier.pre, code_state)


def as_their_code(rectifier: Rectifier) -> float:
    """Two states, and the mean over mini-batches."""
    return float(np.mean([layer_entropy(batch, code_state) for batch in rectifier.batches]))


SETTINGS = {"two": {"states": 2}, "as_their_code": {"states": 2, "pool": "batch"}}
