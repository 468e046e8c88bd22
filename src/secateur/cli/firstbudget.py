"""A first budget that cannot be met, refused before the long work."""

from torch import nn

from secateur import methods
from secateur.budget import Count, select, select_layers
from secateur.data import Data
from secateur.finding import find_sites
from secateur.masking import rows_of
from secateur.recipe import Stage
from secateur.stretches import find_layers


def check_budget(model: nn.Module, data: Data, stage: Stage) -> None:
    """Refuse a first budget that cannot be met, whatever the scores."""
    granularity = stage.method.granularity
    chance = methods.get("chance", granularity=granularity)
    if granularity == "layer":
        layers = find_layers(model, data.task)
        if stage.form == "mask":
            rows_of(model, layers)
            return
        scores = chance.score(model, layers, data.task)
        budget = Count(1) if stage.to_the_end else stage.part(0)
        select_layers(scores, layers, budget, become=stage.form, protect=stage.protect)
        return
    sites = find_sites(model, data.task)
    scores = chance.score(model, sites, data.task)
    select(scores, sites, stage.part(0), protect=stage.protect)
