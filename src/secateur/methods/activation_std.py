"""`activation_std`: the standard deviation of every unit's output, a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from secateur.calibration import calibrate
from secateur.scores import Reads, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task


@dataclass(frozen=True)
class ActivationStd:
    r"""Standard deviation over calibration data: $\sigma_j = \sqrt{\operatorname{var}_i\, a_j(x_i)}$.

    Within one layer it ranks as `dense` does; over the whole model the square root weighs wide layers less.
    """

    name = "activation_std"
    granularity = "unit"

    @property
    def watches(self) -> Reads:
        """What it watches."""
        return Reads(Moments.empty)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The standard deviation of every unit's output."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Moments]) -> Scores:
        """The scores that follow from the moments of every site."""
        return Scores(self.name, {name: moments.variance.sqrt() for name, moments in seen.items()})


METHOD = ActivationStd()
