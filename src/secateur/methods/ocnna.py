"""`ocnna`: filters whose maps vary little from image to image are redundant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur import spectra
from secateur.calibration import calibrate
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Maps, Scores
from secateur.sites import Sites
from secateur.stats import Moments
from secateur.task import Task

TAPS = ("post", "pre")
FORMS = ("exact", "surrogate")
COUPLED = ("mean", "sum", "max")


@dataclass(frozen=True)
class Significance:
    """What a map is worth on one image: the norm of its projection on its leading principal components."""

    energy: float
    form: str

    def __call__(self, maps: Float[Tensor, "examples units height width"]) -> Float[Tensor, "examples units"]:
        """A number for every map; the value itself where a map has one."""
        if maps.shape[-2:] == (1, 1):
            return maps[..., 0, 0]
        if maps.shape[-2] == 1:
            maps = maps.mT  # one row has no variation: its entries are the samples
        return spectra.centred_norm(maps) if self.form == "surrogate" else spectra.leading_norm(maps, self.energy)


@dataclass(frozen=True)
class Ocnna:
    r"""How much a filter's significance varies from image to image: $C_m = \sigma_i(F_{m,i}) \,/\, |\mu_i(F_{m,i})|$.

    Balderas, Lastra & Benítez, *Optimizing Convolutional Neural Network Architecture*, Mathematics 2024
    ([arXiv 2401.01361](https://arxiv.org/abs/2401.01361)). $F_{m,i} = \sqrt{\sum_{j \le r} s_j^2}$ is the norm of
    filter $m$'s map on image $i$, projected on the principal components that hold more than `energy` of its variation:
    $s_j$ are the singular values of the map (rows are samples) less its column means, $r$ the smallest number with
    $\sum_{j \le r} s_j^2 / \sum_j s_j^2 >$ `energy`. The scores need no labels. The paper keeps, layer by layer, what
    is above the k-th percentile: `Share(k / 100)`.

    What differs: the paper does not say which standard deviation (here: of the population), nor where maps are taken.
    `tap="post"` takes them behind the layer's norm and activation, before any pooling or sum, `"pre"` as the layer puts
    them out. Where several layers make a unit together (a residual sum, a depthwise convolution) its score is the
    `coupled` mean, sum or max of theirs. `form="surrogate"` takes $\lVert X \rVert_F$ of the centred map for $F$, which
    is larger by less than a factor $1 / \sqrt{\texttt{energy}}$ and much quicker. A unit of a linear layer has maps of
    one entry, which is taken as it is; of a sequence or a one-row map, the positions are the samples. A unit
    that is always 0 scores 0.
    """

    tap: Literal["post", "pre"] = "post"
    energy: float = 0.95
    form: Literal["exact", "surrogate"] = "exact"
    coupled: Literal["mean", "sum", "max"] = "mean"
    name = "ocnna"
    granularity = "unit"

    def __post_init__(self) -> None:
        for setting, value, known in (
            ("tap", self.tap, TAPS),
            ("form", self.form, FORMS),
            ("coupled setting", self.coupled, COUPLED),
        ):
            if value not in known:
                raise UnknownNameError(f"{setting} of ocnna", value, known)
        if not 0.0 < self.energy < 1.0:
            raise SettingsError(f"ocnna: energy is {self.energy}; it must lie between 0 and 1, such as 0.95.")

    @property
    def watches(self) -> Maps:
        """What it watches."""
        return Maps(Significance(self.energy, self.form), self.tap)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The coefficient of variation of every unit's significance over images."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, tuple[Moments, ...]]) -> Scores:
        """The scores that follow from the moments of significance, of every layer that makes a site."""
        values = {name: torch.stack([_variation(part) for part in parts]) for name, parts in seen.items()}
        match self.coupled:
            case "sum":
                found = {name: value.sum(0) for name, value in values.items()}
            case "max":
                found = {name: value.amax(0) for name, value in values.items()}
            case _:
                found = {name: value.mean(0) for name, value in values.items()}
        return Scores(self.name, found, comparable=True)


def _variation(moments: Moments) -> Float[Tensor, " units"]:
    """The coefficient of variation; 0 where nothing varies, however small the mean is."""
    spread, mean = moments.variance.sqrt(), moments.mean.abs()
    return torch.where(spread > 0, spread / mean, 0.0).clamp(max=torch.finfo(torch.float64).max)


METHOD = Ocnna()
