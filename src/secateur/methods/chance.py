"""`chance`: random scores, the baseline that every method must beat."""

from dataclasses import dataclass
from operator import index
from typing import get_args

import torch
from torch import nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.inference import device_of
from secateur.scores import Granularity, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Chance:
    """Uniform random numbers from a seed, for units, or for layers with `granularity="layer"`."""

    seed: int = 0
    granularity: Granularity = "unit"
    name = "chance"

    def __post_init__(self) -> None:
        if self.granularity not in get_args(Granularity):
            raise UnknownNameError("granularity of chance", self.granularity, get_args(Granularity))
        try:
            index(self.seed)
        except TypeError as error:
            raise SettingsError(f"chance: seed is {self.seed!r}; it must be a whole number.") from error

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """A random number for every unit or activation, the same for the same seed on any device."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = {site.name: site.units for site in sites}
        if self.granularity == "layer":
            sizes = {activation.name: 1 for activation in sites.activations}
        draw = {name: torch.rand(size, generator=generator, dtype=torch.float64) for name, size in sizes.items()}
        device = device_of(model)
        return Scores(self.name, {name: values.to(device) for name, values in draw.items()}, comparable=True)


METHOD = Chance()
