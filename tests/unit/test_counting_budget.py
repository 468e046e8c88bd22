"""What a budget says that a plan leaves is what the really smaller network costs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.budget import cost, plan_of
from secateur.counting import count
from secateur.finding import find_sites
from secateur.sites import Site
from secateur.surgery import apply
from secateur.tracing import trace

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


def images() -> nn.Module:
    """Plain, depthwise, grouped and transposed convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, groups=12, padding=1),
        nn.Conv2d(12, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=2), nn.ReLU(), nn.ConvTranspose2d(16, 10, 2),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 3),
    )  # fmt: skip


class Attention(nn.Module):
    """Attention by hand or by the fused operator, whose products no weight stands for."""

    def __init__(self, *, is_fused: bool) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.is_fused = 3, 4, is_fused
        self.query, self.key, self.value = nn.Linear(6, 12), nn.Linear(6, 12), nn.Linear(6, 12)
        self.out, self.head = nn.Linear(12, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._heads(layer(x)) for layer in (self.query, self.key, self.value))
        if self.is_fused:
            mixed = F.scaled_dot_product_attention(q, k, v, scale=0.5)
        else:
            mixed = (q @ k.transpose(-1, -2) * 0.5).softmax(-1) @ v
        return self.head(self.out(mixed.transpose(1, 2).flatten(2)).relu().mean(1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, self.head_dim).transpose(1, 2)


# A network, and the shape of one row of its data.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (chain, (6,)),
    "parts": (Parts, (6,)),
    "parts on tokens": (Parts, (5, 6)),
    "images": (images, (3, 13, 13)),
    "attention by hand": (lambda: Attention(is_fused=False), (5, 6)),
    "fused attention": (lambda: Attention(is_fused=True), (5, 6)),
}


def units(site: Site, seed: int) -> list[int]:
    """Random units of a site, none, some, or all but one of each block; twins lose as many."""
    generator = np.random.default_rng((seed, site.steps))
    count = generator.integers(0, site.steps)
    chosen = [block * site.steps + generator.permutation(site.steps)[:count] for block in range(site.blocks)]
    return np.concatenate(chosen).tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_multiply_adds_that_a_budget_expects_are_those_of_the_cut_network(name: str, seed: int) -> None:
    make, shape = NETWORKS[name]
    model, example = make(), torch.randn(ROWS, *shape)
    sites = find_sites(model, example)

    removed = {site.name: units(site, seed) for site in sites}
    small = apply(model, plan_of(sites, removed))

    found = count(trace(small, example))
    assert cost(sites, removed).macs == pytest.approx(found.macs, rel=NEAR)
    assert found.macs <= count(trace(model, example)).macs
    assert found.uncounted == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_budget_counts_the_whole_network_as_it_is(name: str) -> None:
    make, shape = NETWORKS[name]
    model, example = make(), torch.randn(ROWS, *shape)
    assert cost(find_sites(model, example), {}).macs == pytest.approx(count(trace(model, example)).macs, rel=NEAR)
