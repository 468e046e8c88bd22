"""Every operator by itself: as many units can go as counted by hand, and removing them is exact."""

from collections.abc import Iterable
from random import Random

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor, nn

import secateur as sc
from footprint import untouched
from fuzz.checks import found_sites
from fuzz.cuts import drawn_units
from fuzz.networks import randomise_
from fuzz.oracle import assert_cut
from operators import CHANNELS, IMAGES, Row
from operators_tokens import SEQUENCES, TOKENS, WORDS, Words
from secateur.sites import Sites

CUTS = 2
LAZY = {1: nn.LazyConv1d, 2: nn.LazyConv2d, 3: nn.LazyConv3d}
LATER = {  # what can go by hand, and is held so far
    "a size that is used in two ways": {"split by an attribute"},
    "units of several axes": {"without softmax", "heads side by side"},
}
FIRST = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def cases(names: Iterable[str]) -> list[ParameterSet]:
    """Every name as a test's case, those that are for later as expected failures."""
    why = {name: reason for reason, held in LATER.items() for name in held}
    return [pytest.param(n, marks=pytest.mark.xfail(reason=why[n]) if n in why else ()) for n in names]


class Between(nn.Module):
    """A layer that makes units, an operator, a layer that reads what comes out."""

    def __init__(self, first: nn.Module, middle: nn.Module, last: nn.Module):
        super().__init__()
        self.first = first
        self.middle = middle
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)))


@pytest.mark.parametrize("name", cases(IMAGES))
def test_units_of_an_image_go_through_every_operator(name: str) -> None:
    row = IMAGES[name]
    dims = len(row.places)
    x = rows(2, *row.places)
    network = prepared(Between(FIRST[dims](2, CHANNELS, 1), row.middle(), LAZY[dims](2, 1)), x)
    assert_as_counted(network, row, x)


@pytest.mark.parametrize("name", cases(SEQUENCES))
def test_units_of_tokens_go_through_every_operator(name: str) -> None:
    row = SEQUENCES[name]
    x = rows(TOKENS, 5)
    network = prepared(Between(nn.Linear(5, CHANNELS), row.middle(), nn.LazyLinear(2)), x)
    assert_as_counted(network, row, x)


@pytest.mark.parametrize("tied", [False, True], ids=["own decoder", "tied decoder"])
def test_units_of_embeddings_go_from_every_table(tied: bool) -> None:
    ids = torch.randint(WORDS, (3, TOKENS))
    network = prepared(Words(tied=tied), ids)
    sites = found_sites(network, ids)
    names = ("kind", "place", "decoder", *(() if tied else ("word",)))
    assert {name: len(places(sites, f"{name}.weight", 1)) for name in names} == dict.fromkeys(names, 8)
    assert_cuts_are_exact(network, sites, ids)


def assert_as_counted(network: nn.Module, row: Row, x: Tensor) -> None:
    with untouched(network):
        sites = found_sites(network, x)
    expected = {"first": row.first, **row.others}
    found = {name: len(places(sites, f"{name}.weight", 0)) for name in expected}
    why = [(pin.name, pin.operator, pin.reason) for pin in sites.pinned]
    assert found == expected, why
    if row.pinned_by and sites.sites:
        assert row.pinned_by in {operator for _, operator, _ in why}, why
    assert_cuts_are_exact(network, sites, x)


def assert_cuts_are_exact(network: nn.Module, sites: Sites, x: Tensor) -> None:
    for seed in range(CUTS if sites.sites else 0):
        plan = sc.plan_of(sites, drawn_units(sites, Random(seed)))
        assert_cut(network, sc.apply(network, plan), plan, x)


def places(sites: Sites, tensor: str, axis: int) -> set[int]:
    """The entries along an axis that some site can lose."""
    return {p for site in sites for a in site.axes if (a.tensor, a.axis) == (tensor, axis) for p in a.positions}


def prepared(network: nn.Module, x: Tensor) -> nn.Module:
    network = network.double().eval()
    with torch.no_grad():
        network(x)
    randomise_(network, 2.0)
    return network


def rows(*shape: int) -> Tensor:
    return torch.randn((3, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(3))
