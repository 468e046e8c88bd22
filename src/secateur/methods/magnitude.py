"""`magnitude`: the norm of the weights that make each unit, the baseline everybody knows."""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float64
from torch import Tensor, nn

from secateur import weights
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Granularity, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Magnitude:
    r"""The norm of a unit's incoming weights: $\lVert W_{j,:} \rVert_p$, biases left out.

    Li et al., *Pruning filters for efficient ConvNets*, ICLR 2017 ([arXiv 1608.08710](https://arxiv.org/abs/1608.08710))
    with $p = 1$. Where several layers make one unit together (a residual sum), all their weights count.

    With `granularity="layer"` an activation has the mean of its incoming weights' magnitudes (the root of their mean
    square with $p = 2$), so that wide layers and narrow ones compare.
    """

    p: Literal[1, 2] = 2
    granularity: Granularity = "unit"
    name = "magnitude"

    def __post_init__(self) -> None:
        if self.p not in (1, 2):
            raise SettingsError(f"magnitude: p is {self.p}; it must be 1 or 2.")
        if self.granularity not in get_args(Granularity):
            raise UnknownNameError("granularity of magnitude", self.granularity, get_args(Granularity))

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The norm of every unit's incoming weights, or of every activation's; the data is not looked at."""
        if self.granularity == "layer":
            means = {each.name: self._mean(weights.leading(model, each)) for each in sites.activations}
            return Scores(self.name, means, comparable=True)
        norms = {site.name: weights.making(model, site).norm(p=self.p, dim=1) for site in sites}
        return Scores(self.name, norms)

    def _mean(self, entries: Float64[Tensor, " entries"]) -> Float64[Tensor, " 1"]:
        return entries.abs().pow(self.p).mean().pow(1.0 / self.p).reshape(1)


METHOD = Magnitude()
