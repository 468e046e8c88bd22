"""`obce`: neurons whose outputs lie close together, by persistent homology, are redundant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from secateur import homology
from secateur.calibration import calibrate
from secateur.homology import Cloud, Summary
from secateur.scores import Points, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Obce:
    r"""The radius $r_f$ at which a neuron's outputs have merged into one component: large is varied, so informative.

    Balderas, Lastra & Benítez, *Can persistent homology whiten Transformer-based black-box models? A case study on BERT
    compression*, Applied Sciences 2025, 15(1), 390 ([arXiv 2312.10702](https://arxiv.org/abs/2312.10702)). $N$ texts
    give each neuron $N$ numbers, its outputs at the [CLS] token: a cloud on the line. In its zero-dimensional
    Vietoris-Rips persistence components merge at the gaps between neighbours, so $r_f$ is the largest gap. The scores
    need no labels. OBCE keeps, layer by layer, what is above the 30th, 50th or 70th percentile: `Share(0.3)`,
    `Share(0.5)`, `Share(0.7)`. The paper leaves LayerNorm, and so the residual stream, whole: protect its site.

    Before the first attention, the [CLS] token is the same in every text: what query, key and value of the first layer
    make of it is one point, and all their units score 0. `place="mean"` does not have that blind spot.

    What differs: the largest gap is an extreme value, and two samples of texts can disagree on it. `summary` offers
    calmer figures of the same diagram: `"total"` is the sum of all gaps (the range), `"entropy"` how evenly they are
    spread, `"quantile"` one of their quantiles. `place="mean"` takes the mean over a text's tokens, `"last"` the last
    token (models that read from left to right); `positions` tokens in a row make clouds of so many dimensions. Padding
    never counts. Where several layers make a unit together (query with key), its score is the mean of theirs. The paper
    is about encoders of text; any other network's units have clouds too, and its maps are averaged first.
    """

    place: Literal["first", "last", "mean"] = "first"
    positions: int = 1
    summary: Summary = "max"
    quantile: float = 0.95
    name = "obce"
    granularity = "unit"

    def __post_init__(self) -> None:
        homology.check(self.name, self.summary, self.quantile)
        _ = self.watches

    @property
    def watches(self) -> Points:
        """What it watches."""
        return Points(homology.Positions(self.place, self.positions))

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The summary of every unit's diagram."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, tuple[Cloud, ...]]) -> Scores:
        """The scores that follow from the clouds of every layer that makes a site."""
        return Scores(self.name, homology.summaries(seen, self.summary, self.quantile))


METHOD = Obce()
