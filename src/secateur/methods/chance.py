"""`chance`: random scores, the baseline that every method must beat."""

from dataclasses import dataclass
from operator import index

import torch
from torch import nn

from secateur.errors import SettingsError
from secateur.inference import device_of
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Chance:
    """Uniform random numbers from a seed."""

    seed: int = 0
    name = "chance"
    granularity = "unit"

    def __post_init__(self) -> None:
        try:
            index(self.seed)
        except TypeError as error:
            raise SettingsError(f"chance: seed is {self.seed!r}; it must be a whole number.") from error

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """A random number for every unit, the same for the same seed on any device."""
        generator = torch.Generator().manual_seed(self.seed)
        draw = {site.name: torch.rand(site.units, generator=generator, dtype=torch.float64) for site in sites}
        device = device_of(model)
        return Scores(self.name, {name: values.to(device) for name, values in draw.items()}, comparable=True)


METHOD = Chance()
