"""ODF2NNA's variability, literally: the population variance of each hidden unit's output (arXiv 2312.10560)."""

import numpy as np


def scores(outputs: np.ndarray, incoming: np.ndarray, outgoing: np.ndarray) -> np.ndarray:
    """One number per unit from outputs [rows, units]; the weights are not looked at."""
    del incoming, outgoing
    rows = len(outputs)
    mean = [sum(outputs[:, unit]) / rows for unit in range(outputs.shape[1])]
    return np.array([sum((outputs[:, j] - mean[j]) ** 2) / rows for j in range(outputs.shape[1])])
