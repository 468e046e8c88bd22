"""`chance`: numbers drawn from one generator, site after site, uniformly from 0 up to 1."""

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def score(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The first numbers of the default seed: one for each unit of the first site."""
    del activations, outgoing
    return torch.rand(len(incoming), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()


def seeded(activations: Array, incoming: Array, outgoing: Array) -> Array:
    """The same of another seed."""
    del activations, outgoing
    return torch.rand(len(incoming), generator=torch.Generator().manual_seed(7), dtype=torch.float64).numpy()


SETTINGS = {"seeded": {"seed": 7}}
