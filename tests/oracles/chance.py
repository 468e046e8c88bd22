"""`chance`: numbers drawn from one generator, site after site, uniformly from 0 up to 1."""

import torch

from oracles.layer import Array, Layer
from oracles.rectifier import Rectifier


def score(layer: Layer) -> Array:
    """The first numbers of the default seed: one for each unit of the first site."""
    return torch.rand(len(layer.incoming), generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()


def seeded(layer: Layer) -> Array:
    """The same of another seed."""
    return torch.rand(len(layer.incoming), generator=torch.Generator().manual_seed(7), dtype=torch.float64).numpy()


SETTINGS = {"seeded": {"seed": 7}}


def layers(rectifier: Rectifier) -> float:
    """A number for each activation."""
    draws = torch.rand(rectifier.number + 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return float(draws[-1])


OF_LAYERS = {"layers": {"seed": 3, "granularity": "layer"}}
