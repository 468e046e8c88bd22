"""`taylor`: what the loss would lose with each unit, to first order, a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from secateur.calibration import calibrate
from secateur.errors import SettingsError
from secateur.scores import Gates, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task

MEASURES = {1: torch.abs, 2: torch.square}


@dataclass(frozen=True)
class Taylor:
    r"""First-order change of the loss: $\operatorname{mean}_i | \sum_p a_{j,p}\, \partial L_i / \partial a_{j,p} |^q$.

    Molchanov et al., *Pruning Convolutional Neural Networks for Resource Efficient Inference*, ICLR 2017
    ([arXiv 1611.06440](https://arxiv.org/abs/1611.06440)) with $q$ = `power` = 1, and *Importance Estimation for Neural
    Network Pruning*, CVPR 2019 ([arXiv 1906.10771](https://arxiv.org/abs/1906.10771)), a gate on each output, with 2.
    $L_i$ is the loss of example $i$, so calibration data needs labels.

    What differs: 2017 takes the mean over positions $p$ and divides by the layer's norm, 2019 squares the mean over a
    batch; here it is the sum over positions, and of each example. A unit is read wherever it goes: where several layers
    read it, all of them count, which is what cutting it would silence.
    """

    power: Literal[1, 2] = 1
    name = "taylor"
    granularity = "unit"

    def __post_init__(self) -> None:
        if self.power not in MEASURES:
            raise SettingsError(f"taylor: power is {self.power}; it must be 1 or 2.")

    @property
    def watches(self) -> Gates:
        """What it watches."""
        return Gates(MEASURES[self.power])

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The change of the loss without each unit; the model is run backwards, and left as found."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Moments]) -> Scores:
        """The scores that follow from the slopes at every site."""
        return Scores(self.name, {name: moments.mean for name, moments in seen.items()}, comparable=True)


METHOD = Taylor()
