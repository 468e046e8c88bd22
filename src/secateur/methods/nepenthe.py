"""`nepenthe`: layers whose units hardly change sides, and whose weights are small, lose their weights first."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur.calibration import calibrate
from secateur.errors import SettingsError
from secateur.masking import importances
from secateur.scores import Entering, Scores
from secateur.signs import Signs
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Nepenthe:
    r"""Entropy times size of the weights, $I_l = \operatorname{mean}_{H_i > 0} H_i \operatorname{mean}_j |w_{ij}|$.

    Liao, Quétu, Nguyen & Tartaglione, *NEPENTHE: Entropy-Based Pruning as a Neural Network Depth's Reducer*, 2024
    ([arXiv 2404.16890](https://arxiv.org/abs/2404.16890)). $H_i$ is the entropy of unit $i$'s states (on, off, or of no
    account) as in `easier`, $w_{ij}$ are the weights that lead to it and are not zero. Units that are always on or
    always off do not count; a layer that has no others scores 0: it is linear on the data.

    The score is what shares out a budget of weights to prune: `masking.mask` takes `entropies` and the share
    $\zeta$ of the remaining weights (0.5 for ResNet-18, 0.25 for Swin-T, 0.1 for MobileNetV2 in the paper), gives layer
    $l$ the softmax of $R_l = \sum_k I_k / I_l$ of them, and prunes the smallest. Then the paper trains, the zeros
    staying zero (`Recovery(keep_zeros=True)`), and begins again.

    What differs: a unit counts as always on or off where its rarer state has at most the share `tolerance` of its
    inputs. Where several layers lead to one activation (a residual sum), a weight counts for the first that it reaches.
    """

    tolerance: float = 1e-6
    name = "nepenthe"
    granularity = "layer"

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance < 0.5:
            raise SettingsError(f"nepenthe: tolerance is {self.tolerance!r}; it must be a share from 0 to below 0.5.")

    @property
    def watches(self) -> Entering:
        """What it watches."""
        return Entering(Signs.empty)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The importance of every activation's layers."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Signs]) -> Scores:
        """The scores that follow from the signs at every activation.

        Raises:
            ModelError: none of an activation's weights has a row for each of its units.
        """
        found = importances(model, sites, self.of_units(seen))
        device = next(iter(seen.values())).on.device
        values = {
            each.name: torch.tensor([value], dtype=torch.float64, device=device)
            for each, value in zip(sites.activations, found, strict=True)
        }
        return Scores(self.name, values, comparable=True)

    def entropies(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The entropy of every unit, by activation, as `masking.mask` takes it."""
        return Scores(self.name, self.of_units(calibrate(model, sites, task, self.watches)), comparable=True)

    def of_units(self, seen: Mapping[str, Signs]) -> Mapping[str, Float64[Tensor, "..."]]:
        """The entropy of every unit, by activation, 0 where one state is as good as never seen."""
        return {name: self._entropy(signs) for name, signs in seen.items()}

    def _entropy(self, signs: Signs) -> Float64[Tensor, " units"]:
        rarer = torch.minimum(signs.on, signs.off)
        return torch.where(rarer > self.tolerance * (signs.on + signs.off), signs.entropy(), 0.0)


METHOD = Nepenthe()
