"""`ocnna`, as written: C_m = σ_i(F_mi) / μ_i(F_mi), F the norm of a map's projection by scikit-learn's PCA."""

import warnings

import numpy as np
from sklearn.decomposition import PCA

from oracles.layer import Array, Layer


def score(layer: Layer) -> Array:
    """Maps of one entry are taken as they are."""
    return np.array([variation(list(unit)) for unit in layer.activations.T])


def variation(significances: list[float]) -> float:
    """The coefficient of variation over images; 0 of what is always 0."""
    rows = len(significances)
    mean = sum(significances) / rows
    return float(np.sqrt(sum((f - mean) ** 2 for f in significances) / rows) / abs(mean)) if mean else 0.0


def significance(image: Array, energy: float = 0.95) -> float:
    """The Frobenius norm of one map [height, width] projected on the components that keep 95 % of its variance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a map without variation divides 0 by 0
        return float(np.linalg.norm(PCA(energy, svd_solver="full").fit_transform(image)))


SETTINGS: dict[str, dict[str, object]] = {}
