"""`easier`: an activation whose units are always on, or always off, is linear, so it can go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float64
from torch import Tensor, nn

from secateur.calibration import calibrate
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Entering, Scores
from secateur.signs import Signs, SignsByBatch
from secateur.sites import Sites
from secateur.task import Task

POOLS: Mapping[str, Callable[[], Signs | SignsByBatch]] = {"data": Signs.empty, "batch": SignsByBatch.empty}


@dataclass(frozen=True)
class Easier:
    r"""Mean entropy of the states of a layer's units: $\operatorname{mean}_i H_i$, in bits, from 0 to 1.

    Quétu, Liao & Tartaglione, *The Simpler The Better: An Entropy-Based Importance Metric To Reduce Neural Networks'
    Depth*, ECML PKDD 2024 ([arXiv 2404.18949](https://arxiv.org/abs/2404.18949)). The state of unit $i$ is the sign of
    what its activation reads: on, off, or of no account where it is 0. With $p_i$ the share of on among the others,
    over inputs and positions or tokens, $H_i = -p_i \log_2 p_i - (1 - p_i) \log_2 (1 - p_i)$. At 0 every unit is
    always on or always off on the data, and the activation is linear there. The paper makes the lowest one the
    identity, trains, and begins again.

    What differs: counts are pooled over the calibration data, and the network is in eval mode. Their code takes the
    mean over mini-batches of the last epoch's training, and 0 for on: `pool="batch"`, `states=2`. That mean depends on
    how the data is batched. GELU, SiLU and ReLU6 follow the sign rule, as published.
    """

    states: Literal[2, 3] = 3
    pool: Literal["data", "batch"] = "data"
    name = "easier"
    granularity = "layer"

    def __post_init__(self) -> None:
        if self.states not in (2, 3):
            raise SettingsError(f"easier: states is {self.states}; it must be 2 or 3.")
        if self.pool not in POOLS:
            raise UnknownNameError("pool of easier", self.pool, POOLS)

    @property
    def watches(self) -> Entering:
        """What it watches."""
        return Entering(POOLS[self.pool])

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The mean entropy of every activation's units."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Signs | SignsByBatch]) -> Scores:
        """The scores that follow from the signs at every activation."""
        means = {name: units.mean().reshape(1) for name, units in self.of_units(seen).items()}
        return Scores(self.name, means, comparable=True)

    def of_units(self, seen: Mapping[str, Signs | SignsByBatch]) -> Mapping[str, Float64[Tensor, "..."]]:
        """The entropy of every unit, by activation."""
        return {name: signs.entropy(self.states) for name, signs in seen.items()}


METHOD = Easier()
