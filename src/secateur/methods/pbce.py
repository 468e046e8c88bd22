"""`pbce`: as `obce`, neurons are compared by the persistent homology of their outputs; cuts are at quartiles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn

from secateur import homology
from secateur.calibration import calibrate
from secateur.homology import Cloud
from secateur.scores import Points, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Pbce:
    r"""As `obce`, with cuts at the quartiles: the radius $r_f$ at which a neuron's outputs merge into one component.

    Balderas, Lastra & Benítez, *Can persistent homology whiten Transformer-based black-box models? A case study on BERT
    compression*, Applied Sciences 2025, 15(1), 390 ([arXiv 2312.10702](https://arxiv.org/abs/2312.10702)). PBCE keeps,
    layer by layer, what is above the first, second or third quartile of $r_f$: `Share(0.25)`, `Share(0.5)`,
    `Share(0.75)`. Scores, settings and what differs are those of `obce`.
    """

    place: Literal["first", "last", "mean"] = "first"
    positions: int = 1
    summary: Literal["max", "total", "entropy", "quantile"] = "max"
    quantile: float = 0.95
    name = "pbce"
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


METHOD = Pbce()
