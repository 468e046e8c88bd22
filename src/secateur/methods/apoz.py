"""`apoz`: units that are often zero matter little, a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from secateur.calibration import calibrate
from secateur.scores import Maps, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task


@dataclass(frozen=True)
class Apoz:
    r"""Share of outputs that are not zero: $1 - \operatorname{mean}_{i,p} [a_{j,p}(x_i) = 0]$.

    Hu et al., *Network Trimming*, 2016 ([arXiv 1607.03250](https://arxiv.org/abs/1607.03250)). The mean is over
    examples $i$ and positions $p$, behind the activation.

    What differs: higher is more important, so it is one less the paper's average percentage of zeros. Where several
    layers make a unit together, it is the mean over them. It says nothing (1 for all) of activations that are never
    exactly 0.
    """

    name = "apoz"
    granularity = "unit"

    @property
    def watches(self) -> Maps:
        """What it watches."""
        return Maps(_share_of_others)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The share of every unit's outputs that are not zero."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, tuple[Moments, ...]]) -> Scores:
        """The scores that follow from the shares of every layer that makes a site."""
        means = {name: torch.stack([part.mean for part in parts]).mean(0) for name, parts in seen.items()}
        return Scores(self.name, means, comparable=True)


def _share_of_others(
    maps: Float[Tensor, "examples units height width"],
) -> Float64[Tensor, "examples units"]:
    return (maps != 0).double().mean((-1, -2))


METHOD = Apoz()
