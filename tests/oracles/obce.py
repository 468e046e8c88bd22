"""`obce`, by single linkage: its heights are the deaths of zero-dimensional persistence."""

from collections.abc import Callable

import numpy as np
from scipy.cluster.hierarchy import linkage

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """The last height: everything is one cluster."""
    return _each(layer, np.max)


def total(layer: Layer) -> Array:
    """The sum of all heights."""
    return _each(layer, np.sum)


def entropy(layer: Layer) -> Array:
    """−Σ p ln p of each height's share; 0 ln 0 = 0."""

    def of(heights: Array) -> float:
        shares = heights[heights > 0] / heights.sum()
        return float(-(shares * np.log(shares)).sum())

    return _each(layer, of)


def median(layer: Layer) -> Array:
    """The median of the heights."""
    return _each(layer, np.median)


def _each(layer: Layer, of: Callable[[Array], float]) -> Array:
    return np.array([of(linkage(column[:, None], "single")[:, 2]) for column in layer.activations.T])


SETTINGS: dict[str, dict[str, object]] = {
    "total": {"summary": "total"},
    "entropy": {"summary": "entropy"},
    "median": {"summary": "quantile", "quantile": 0.5},
}
