"""The Euclidean norm of each unit's incoming weights (Li et al., ICLR 2017, with p = 2)."""

import numpy as np


def scores(outputs: np.ndarray, incoming: np.ndarray, outgoing: np.ndarray) -> np.ndarray:
    """One number per unit from incoming weights [units, in]; the outputs are not looked at."""
    del outputs, outgoing
    return np.array([np.sqrt(sum(weight**2 for weight in row)) for row in incoming])
