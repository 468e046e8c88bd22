"""Random networks: seeds that failed once, some that never did, and an oracle that notices what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import secateur as sc
from fuzz.checks import checked
from fuzz.counting import MismatchError
from fuzz.networks import drawn, inputs, network_of, recipe_from
from fuzz.oracle import assert_cut
from secateur.plan import Cut, Plan

KNOWN = [line for line in Path(__file__).parents[1].joinpath("fuzz", "seeds.txt").read_text().splitlines() if line]
SEEDS = range(10)
WIDTH = 6


@pytest.mark.parametrize("line", [line for line in KNOWN if not line.startswith("#")])
def test_networks_that_failed_once_are_cut_rightly(line: str) -> None:
    checked(recipe_from(line))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_are_cut_rightly(seed: int) -> None:
    checked(drawn(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_network_is_its_line(seed: int) -> None:
    recipe = drawn(seed)
    one, other = network_of(recipe), network_of(recipe_from(str(recipe)))
    assert repr(one) == repr(other)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- the oracle itself: a right cut passes, each wrong one is noticed -------------------------------------------------


class Gated(nn.Module):
    """Two branches that meet in a product, with a norm over the units."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, WIDTH)
        self.gate = nn.Linear(4, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x) * torch.sigmoid(self.gate(x))))


def gated() -> tuple[nn.Module, Plan, torch.Tensor]:
    """The network, a plan that removes two of its units, and inputs."""
    model = Gated().double()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(5, 4, dtype=torch.float64)
    return model, sc.plan_of(sc.find_sites(model, x), {"first": (1, 4)}), x


def test_the_oracle_passes_what_is_right() -> None:
    model, plan, x = gated()
    assert_cut(model, sc.apply(model, plan), plan, x)


@pytest.mark.parametrize("place", range(7))
def test_the_oracle_notices_entries_that_do_not_belong_together(place: int) -> None:
    model, plan, x = gated()
    cuts = [*plan.cuts]
    cuts[place] = replace(cuts[place], removed=(2, 4))
    wrong = replace(plan, cuts=tuple(cuts))
    with pytest.raises(MismatchError, match=r"output|gradient"):
        assert_cut(model, sc.apply(model, wrong), wrong, x)


def test_the_oracle_notices_a_changed_weight() -> None:
    model, plan, x = gated()
    small = sc.apply(model, plan)
    with torch.no_grad():
        small.get_parameter("gate.weight")[0, 0] += 1e-6
    with pytest.raises(MismatchError, match=r"gate\.weight"):
        assert_cut(model, small, plan, x)


def test_the_oracle_notices_statistics_over_what_is_gone() -> None:
    model, plan, x = gated()
    small = sc.apply(model, plan)
    small.get_submodule("norm").eps = 0.1
    with pytest.raises(MismatchError, match="output"):
        assert_cut(model, small, plan, x)


def test_the_oracle_notices_units_that_a_softmax_counted() -> None:
    model = nn.Sequential(nn.Linear(4, WIDTH), nn.Softmax(-1), nn.Linear(WIDTH, 2)).double()
    x = inputs("tokens", 2)[..., :4]
    cuts = (Cut("0.weight", 0, WIDTH, (1,)), Cut("0.bias", 0, WIDTH, (1,)), Cut("2.weight", 1, WIDTH, (1,)))
    plan = Plan("chosen", cuts=cuts)
    with pytest.raises(MismatchError, match="output"):
        assert_cut(model, sc.apply(model, plan), plan, x)
