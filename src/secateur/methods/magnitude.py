"""`magnitude`: the norm of the weights that make each unit, the baseline everybody knows."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from secateur import weights
from secateur.errors import SettingsError
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Magnitude:
    r"""The norm of a unit's incoming weights: $\lVert W_{j,:} \rVert_p$, biases left out.

    Li et al., *Pruning filters for efficient ConvNets*, ICLR 2017 ([arXiv 1608.08710](https://arxiv.org/abs/1608.08710))
    with $p = 1$. Where several layers make one unit together (a residual sum), all their weights count.
    """

    p: Literal[1, 2] = 2
    name = "magnitude"
    granularity = "unit"

    def __post_init__(self) -> None:
        if self.p not in (1, 2):
            raise SettingsError(f"magnitude: p is {self.p}; it must be 1 or 2.")

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The norm of every unit's incoming weights; the data is not looked at."""
        norms = {site.name: weights.making(model, site).norm(p=self.p, dim=1) for site in sites}
        return Scores(self.name, norms)


METHOD = Magnitude()
