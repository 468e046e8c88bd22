"""`fpgm`: filters near the middle of their layer can be replaced by the others, a baseline."""

from dataclasses import dataclass

import torch
from torch import nn

from secateur import weights
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Fpgm:
    r"""Sum of distances to the other filters of the layer: $\sum_k \lVert W_{j,:} - W_{k,:} \rVert_2$, biases left out.

    He et al., *Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration*, CVPR 2019
    ([arXiv 1811.00250](https://arxiv.org/abs/1811.00250)). Filters near the geometric median score lowest; a filter of
    zeros need not be one of them.

    What differs: where several layers make one unit together (a residual sum), all their weights count as one filter's.
    """

    name = "fpgm"
    granularity = "unit"

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The distances of every unit's incoming weights from the others'; the data is not looked at."""
        values = {}
        for site in sites:
            made = weights.making(model, site)
            values[site.name] = torch.cdist(made, made, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
        return Scores(self.name, values)


METHOD = Fpgm()
