"""`linear_fit`, as written: one operator fitted by ridge least squares, and what the output loses with it in place."""

import numpy as np

from oracles.rectifier import Array, Rectifier, Replaceable

RIDGES = (1e-4, 1e-2, 1.0)
UNSEEN = 5


def solved(x: Array, y: Array, ridge: float) -> tuple[Array, Array]:
    """Weights and constant: ridge times the mean power of an input, for the constant a millionth of it."""
    damping = ridge * (x**2).sum(0).mean()
    ones = np.ones((len(x), 1))
    above = np.concatenate([x, ones], 1)
    below = np.diag([*[np.sqrt(damping)] * x.shape[1], np.sqrt(damping * 1e-6)])
    system, wanted = np.concatenate([above, below]), np.concatenate([y, np.zeros((x.shape[1] + 1, y.shape[1]))])
    solution = np.linalg.lstsq(system, wanted, rcond=None)[0]
    return solution[:-1], solution[-1]


def fitted(stretch: Replaceable) -> tuple[Array, float]:
    """What the operator gives for all rows, and the share of the variance it misses of every fifth, not fitted to."""
    x, y = stretch.read, stretch.gave
    judges = np.arange(len(x)) % UNSEEN == UNSEEN - 1
    best: tuple[Array, float] | None = None
    for ridge in RIDGES:
        weight, constant = solved(x[~judges], y[~judges], ridge)
        found = x @ weight + constant
        error = float(((found - y)[judges] ** 2).mean() / y[judges].var(0).mean())
        if best is None or error < best[1]:
            best = found, error
    assert best is not None
    return best


def distance(found: Array, wanted: Array) -> float:
    """The mean over rows of the divergence of Kullback and Leibler."""
    own, other = (logits - np.log(np.exp(logits).sum(1, keepdims=True)) for logits in (found, wanted))
    return float((np.exp(other) * (other - own)).sum(1).mean())


def of_all(rectifier: Rectifier, costs: list[float]) -> float:
    """That of its own stretch; twice the largest where it is in none."""
    return 2 * max(costs) if rectifier.stretch is None else costs[rectifier.stretch]


def score(rectifier: Rectifier) -> float:
    """By what the output loses."""
    lost = [distance(one.rest(fitted(one)[0]), one.rest(one.gave)) for one in rectifier.stretches]
    return of_all(rectifier, lost)


def unexplained(rectifier: Rectifier) -> float:
    """By the variance that is left."""
    return of_all(rectifier, [fitted(one)[1] for one in rectifier.stretches])


SETTINGS = {"unexplained": {"trial": False}}
