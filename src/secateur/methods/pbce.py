"""`pbce`: the published form of `obce`, to be cut at quartiles."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from secateur import homology
from secateur.calibration import calibrate
from secateur.homology import Cloud
from secateur.scores import Points, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True)
class Pbce:
    r"""The radius $r_f$ at which a neuron's outputs at the [CLS] token have merged into one component.

    Balderas, Lastra & Benítez, *Can persistent homology whiten Transformer-based black-box models? A case study on BERT
    compression*, Applied Sciences 2025, 15(1), 390 ([arXiv 2312.10702](https://arxiv.org/abs/2312.10702)). PBCE keeps,
    layer by layer, what is above the first, second or third quartile of $r_f$: `Share(0.25)`, `Share(0.5)`,
    `Share(0.75)`. The scores are those of `obce` as published, which has the settings.
    """

    name = "pbce"
    granularity = "unit"

    @property
    def watches(self) -> Points:
        """What it watches."""
        return Points(homology.Positions())

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The radius of every unit."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, tuple[Cloud, ...]]) -> Scores:
        """The scores that follow from the clouds of every layer that makes a site."""
        return Scores(self.name, homology.summaries(seen, "max"))


METHOD = Pbce()
