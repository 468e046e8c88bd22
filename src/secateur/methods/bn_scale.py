"""`bn_scale`: channels that their norm scales down matter little, a baseline."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor, nn

from secateur import weights
from secateur.errors import ModelError
from secateur.scores import Scores
from secateur.sites import Site, Sites, TensorAxis
from secateur.task import Task

NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
)


@dataclass(frozen=True)
class BnScale:
    r"""The scale of the norm that a unit goes through: $|\gamma_j|$.

    Liu et al., *Learning Efficient Convolutional Networks through Network Slimming*, ICCV 2017
    ([arXiv 1708.06519](https://arxiv.org/abs/1708.06519)).

    What differs: the network is taken as it is, not trained with a penalty on $\gamma$ first. Where several norms scale
    a unit (a residual sum), it is the mean over them. The scales of layer and group norms count as well.
    """

    name = "bn_scale"
    granularity = "unit"

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The scale of every unit's norm; the data is not looked at.

        Raises:
            ModelError: no norm scales the units of a site.
        """
        return Scores(self.name, {site.name: _scales(model, site) for site in sites}, comparable=True)


def _scales(model: nn.Module, site: Site) -> Float64[Tensor, " units"]:
    axes = tuple(_of_norms(model, site))
    if not axes:
        raise ModelError(
            f"{site.name}: no norm scales its {site.units} units; use a method that works without norms, "
            "such as magnitude."
        )
    return weights.along(model, site, axes).abs().mean(1)


def _of_norms(model: nn.Module, site: Site) -> Iterator[TensorAxis]:
    """The scales of norms among what goes with the units."""
    for axis in site.carried_by:
        module, _, name = axis.tensor.rpartition(".")
        if name == "weight" and isinstance(model.get_submodule(module), NORMS):
            yield axis


METHOD = BnScale()
