"""`group_norm`: the norm of all weights that go with a unit, a baseline."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from secateur import weights
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.task import Task

NORMALISATIONS = ("none", "mean", "max")


@dataclass(frozen=True)
class GroupNorm:
    r"""The norm of all weights that make or read a unit, over its whole group: $\lVert (W_{j,:}, W'_{:,j}) \rVert_p$.

    Fang et al., *DepGraph: Towards Any Structural Pruning*, CVPR 2023
    ([arXiv 2301.12900](https://arxiv.org/abs/2301.12900)), with $p = 2$. `normalise` divides by the mean or the largest
    of the site, which makes sites comparable.

    What differs: the paper's library takes the mean of the members' sums of squares, without the root: within a
    site the order is the same. Norms' scales and biases are left out.
    """

    p: Literal[1, 2] = 2
    normalise: Literal["none", "mean", "max"] = "none"
    name = "group_norm"
    granularity = "unit"

    def __post_init__(self) -> None:
        if self.p not in (1, 2):
            raise SettingsError(f"group_norm: p is {self.p}; it must be 1 or 2.")
        if self.normalise not in NORMALISATIONS:
            raise UnknownNameError("normalisation of group_norm", self.normalise, NORMALISATIONS)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The norm of every unit's weights, in and out; the data is not looked at."""
        norms = {}
        for site in sites:
            made = weights.making(model, site)
            both = torch.cat([made, weights.reading(model, site)], 1) if site.read_by else made
            norms[site.name] = self._normalised(both.norm(p=self.p, dim=1))
        return Scores(self.name, norms, comparable=self.normalise != "none")

    def _normalised(self, norms: Tensor) -> Tensor:
        match self.normalise:
            case "mean":
                whole = norms.mean()
            case "max":
                whole = norms.max()
            case _:
                return norms
        return norms / whole if float(whole) > 0 else norms


METHOD = GroupNorm()
