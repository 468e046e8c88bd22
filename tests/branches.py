"""A network of branches, its sites written by hand, and scores for them."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from secateur.budget import Cost
from secateur.scores import Scores
from secateur.sites import Site, Sites, TensorAxis, TensorCost

INPUTS, OUTPUTS = 3, 2


class TwoBranches(nn.Module):
    """Two layers side by side, concatenated, normalised, repeated, and read by a stack of two more."""

    def __init__(self, left: int, right: int, head: int, repeat: int):
        super().__init__()
        self.left = nn.Linear(INPUTS, left)
        self.right = nn.Linear(INPUTS, right)
        self.norm = nn.BatchNorm1d((left + right) * repeat)
        self.head = nn.Linear((left + right) * repeat, head, bias=False)
        self.last = nn.Linear(head, OUTPUTS)


def sites_of(left: int, right: int, head: int, repeat: int = 1, *, droppable: bool = False) -> Sites:
    """The sites of `TwoBranches`, written by hand."""
    with torch.device("meta"):
        model = TwoBranches(left, right, head, repeat)
    ahead = tuple(range(left * repeat))
    behind = tuple(range(left * repeat, (left + right) * repeat))
    return Sites(
        sites=(
            _branch("left", left, ahead, repeat, droppable=droppable),
            _branch("right", right, behind, repeat, droppable=droppable),
            Site("head", head, (along("head.weight", 0, head),), (), (along("last.weight", 1, head),)),
        ),
        tensors=tuple(
            TensorCost(name, tuple(tensor.shape), 1.0 if tensor.dim() == 2 else 0.0, isinstance(tensor, nn.Parameter))
            for name, tensor in model.state_dict(keep_vars=True).items()
        ),
    )


def _branch(name: str, units: int, places: tuple[int, ...], repeat: int, *, droppable: bool) -> Site:
    norms = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    return Site(
        name,
        units,
        made_by=(along(f"{name}.weight", 0, units),),
        carried_by=(along(f"{name}.bias", 0, units), *(TensorAxis(norm, 0, places, repeat) for norm in norms)),
        read_by=(TensorAxis("head.weight", 1, places, repeat),),
        droppable=droppable,
        normalised_by=(),
    )


def along(tensor: str, axis: int, units: int) -> TensorAxis:
    return TensorAxis(tensor, axis, tuple(range(units)))


def scores_of(comparable: bool = False, **values: list[float]) -> Scores:
    return Scores("made_up", {name: torch.tensor(v, dtype=torch.float64) for name, v in values.items()}, comparable)


def random_scores(sites: Sites, seed: int, levels: int = 5) -> Scores:
    """Scores with many ties and some zeros."""
    generator = np.random.default_rng(seed)
    return scores_of(**{site.name: (generator.integers(0, levels, site.units) / 2.0).tolist() for site in sites})


def counted(model: nn.Module) -> Cost:
    """Parameters and multiply-adds of a real network."""
    macs = sum(layer.in_features * layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear))
    return Cost(sum(parameter.numel() for parameter in model.parameters()), macs)


SIX = {"left": [4.0, 1.0, 3.0, 1.0, 2.0, 5.0], "right": [0.4, 0.1, 0.3], "head": [9.0, 7.0, 8.0, 6.0]}
SITES = sites_of(6, 3, 4)


@st.composite
def networks(draw: st.DrawFn) -> Sites:
    width = st.integers(1, 9)
    return sites_of(draw(width), draw(width), draw(width), draw(st.integers(1, 3)))
