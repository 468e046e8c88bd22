"""`hrank`: filters whose maps have low rank carry little, a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from secateur import spectra
from secateur.calibration import calibrate
from secateur.scores import Maps, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task


@dataclass(frozen=True)
class Hrank:
    r"""Mean rank of a filter's maps over images: $R_j = \operatorname{mean}_i \operatorname{rank} O_j(x_i)$.

    Lin et al., *HRank: Filter Pruning using High-Rank Feature Map*, CVPR 2020
    ([arXiv 2002.10179](https://arxiv.org/abs/2002.10179)).

    What differs: maps are taken behind the layer's norm and activation. Where several layers make a unit together, it
    is the mean over them. Singular values count that float32 can tell from 0, beside the largest. A unit of a linear
    layer has maps of one entry, of rank 0 or 1.
    """

    name = "hrank"
    granularity = "unit"

    @property
    def watches(self) -> Maps:
        """What it watches."""
        return Maps(spectra.rank)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The mean rank of every unit's maps."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, tuple[Moments, ...]]) -> Scores:
        """The scores that follow from the ranks at every layer that makes a site."""
        means = {name: torch.stack([part.mean for part in parts]).mean(0) for name, parts in seen.items()}
        return Scores(self.name, means)


METHOD = Hrank()
