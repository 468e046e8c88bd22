"""What a budget says that a plan leaves is what the really smaller network costs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.budget import cost, plan_of
from secateur.counting import count
from secateur.sites import Site
from secateur.surgery import apply
from secateur.tracing import find_sites, trace

ROWS = 3
NEAR = 0.01  # of the multiply-adds


class Parts(nn.Module):
    """Two layers side by side, a skip over a third, and one that all rows of a table of tokens go through."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 8), nn.Linear(6, 5)
        self.norm = nn.LayerNorm(13)
        self.into, self.back = nn.Linear(13, 20), nn.Linear(20, 13)
        self.head = nn.Linear(13, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.cat([self.left(x).relu(), self.right(x).tanh()], -1))
        return self.head(x + self.back(self.into(x).relu()))


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 3)
    )


# A network, and the shape of one row of its data.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (chain, (6,)),
    "parts": (Parts, (6,)),
    "parts on tokens": (Parts, (5, 6)),
}


def units(site: Site, generator: np.random.Generator) -> list[int]:
    """Random units of a site: none, some, or all but one."""
    return generator.permutation(site.units)[: generator.integers(0, site.units)].tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_multiply_adds_that_a_budget_expects_are_those_of_the_cut_network(name: str, seed: int) -> None:
    make, shape = NETWORKS[name]
    model, example = make(), torch.randn(ROWS, *shape)
    generator = np.random.default_rng(seed)
    sites = find_sites(model, example)

    removed = {site.name: units(site, generator) for site in sites}
    small = apply(model, plan_of(sites, removed))

    found = count(trace(small, example))
    assert cost(sites, removed).macs == pytest.approx(found.macs, rel=NEAR)
    assert found.macs < count(trace(model, example)).macs
    assert found.uncounted == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_budget_counts_the_whole_network_as_it_is(name: str) -> None:
    make, shape = NETWORKS[name]
    model, example = make(), torch.randn(ROWS, *shape)
    assert cost(find_sites(model, example), {}).macs == pytest.approx(count(trace(model, example)).macs, rel=NEAR)
