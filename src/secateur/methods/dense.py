"""`dense` (ODF2NNA): neurons whose output hardly varies are redundant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from secateur import weights
from secateur.calibration import calibrate
from secateur.errors import UnknownNameError
from secateur.scores import Reads, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task

MEASURES = ("variance", "std", "weighted")


@dataclass(frozen=True)
class Dense:
    r"""Output variability over calibration data: $v_j = \operatorname{var}_i\, a_j(x_i)$.

    Balderas, Lastra & Benítez, *Optimizing dense feed-forward neural networks*, Neural Networks 2024
    ([arXiv 2312.10560](https://arxiv.org/abs/2312.10560)). A unit with $v_j \le \varepsilon$ is redundant; its mean
    goes into the next bias (`compensate = "mean"`).

    What differs: the paper does not give its exact measure of variability; the population variance of the activation as
    the next layer reads it is ours. `measure="std"` gives $\sqrt{v_j}$, so that a relative $\varepsilon$ is a share of
    the layer's largest standard deviation; `measure="weighted"` gives $v_j \lVert W_{:,j} \rVert^2$ with the weights
    that read the unit: the squared error that silencing it by its mean causes in what reads it.
    """

    measure: Literal["variance", "std", "weighted"] = "variance"
    name = "dense"
    granularity = "unit"

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise UnknownNameError("measure of dense", self.measure, MEASURES)

    @property
    def watches(self) -> Reads:
        """What it watches."""
        return Reads(Moments.empty)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The variability of every unit's output."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Moments]) -> Scores:
        """The scores that follow from the moments of every site."""
        values = {name: moments.variance for name, moments in seen.items()}
        match self.measure:
            case "std":
                values = {name: value.sqrt() for name, value in values.items()}
            case "weighted":
                values = {s.name: values[s.name] * weights.reading(model, s).square().sum(1) for s in sites}
        return Scores(self.name, values, comparable=self.measure == "weighted")


METHOD = Dense()
