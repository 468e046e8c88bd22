"""Budgets of latency, under clocks whose time is known."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from secateur.budget import Latency, cost, parse_latency, select
from secateur.budget.choice import families
from secateur.budget.ranking import common_order
from secateur.errors import BudgetError, SettingsError
from secateur.finding import find_sites
from secateur.plan import Plan
from secateur.scores import Scores
from secateur.sites import Sites


@dataclass(frozen=True)
class ByMacs:
    """A clock by which every multiply-add takes a microsecond, and a call 50 besides."""

    sites: Sites
    batch_size: int = 1
    threads: int = 1

    def now(self) -> float:
        return self.after(Plan(""))

    def after(self, plan: Plan) -> float:
        return (50 + cost(self.sites, plan.removed).macs) / 1000


@pytest.fixture(scope="module")
def sites() -> Sites:
    net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 41), nn.ReLU(), nn.Linear(41, 3))
    return find_sites(net, torch.randn(2, 6))


def scores_of(sites: Sites, seed: int) -> Scores:
    generator = torch.Generator().manual_seed(seed)
    return Scores("any", {s.name: torch.rand(s.units, generator=generator).double() for s in sites}, comparable=True)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), limit=st.floats(0.1, 1.0), milliseconds=st.booleans(), multiple=st.integers(1, 8))
def test_the_plan_keeps_to_the_limit(sites: Sites, seed: int, limit: float, milliseconds: bool, multiple: int) -> None:
    clock = ByMacs(sites)
    budget = Latency(limit * clock.now(), "ms") if milliseconds else Latency(limit)
    plan = select(scores_of(sites, seed), sites, budget, clock=clock, multiple_of=multiple)
    assert clock.after(plan) <= limit * clock.now() * (1 + 1e-9)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**31), limit=st.floats(0.1, 1.0))
def test_no_unit_more_goes_than_must(sites: Sites, seed: int, limit: float) -> None:
    """Beside every prefix of the common order, one unit after the other."""
    scores, clock = scores_of(sites, seed), ByMacs(sites)
    plan = select(scores, sites, Latency(limit), clock=clock)
    free = families(scores, sites, ())
    gone: dict[str, list[int]] = {site.name: [] for site in sites}
    for place in common_order(free, comparable=True):
        if (50 + cost(sites, gone).macs) / 1000 <= limit * clock.now():
            break
        ranked = free[place].members[0]
        gone[ranked.site.name].append(int(ranked.order[len(gone[ranked.site.name])]))
    assert {name: set(units) for name, units in plan.removed.items()} == {n: set(u) for n, u in gone.items() if u}


def test_protected_sites_lose_nothing(sites: Sites) -> None:
    protected = sites.names[0]
    plan = select(scores_of(sites, 1), sites, Latency(0.5), clock=ByMacs(sites), protect=[protected])
    assert protected not in plan.removed


def test_what_cannot_be_reached_names_the_nearest_that_can(sites: Sites) -> None:
    clock = ByMacs(sites)
    with pytest.raises(BudgetError, match=r"0\.01 ms of 1\.3 ms cannot be reached; 0\.06 ms \(0\.05 x\) are predicted"):
        select(scores_of(sites, 1), sites, Latency(0.01, "ms"), clock=clock)


def test_a_clock_is_needed_and_has_to_be_for_the_same_calls(sites: Sites) -> None:
    with pytest.raises(BudgetError, match="a clock is needed"):
        select(scores_of(sites, 1), sites, Latency(0.5))
    with pytest.raises(BudgetError, match="for 32 rows on 2 threads, the clock for 1 on 1"):
        select(scores_of(sites, 1), sites, Latency(0.5, batch_size=32, threads=2), clock=ByMacs(sites))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0.6x", (0.6, "x")), ("0.6", (0.6, "x")), ("60%", (0.6, "x")), ("12ms", (12.0, "ms")), (" 1.5 MS ", (1.5, "ms"))],
)
def test_latencies_are_read_as_people_write_them(text: str, wanted: tuple[float, str]) -> None:
    assert parse_latency(text) == wanted


@pytest.mark.parametrize("text", ["", "x", "fast", "-1ms", "4s", "1e3ms"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a latency"):
        parse_latency(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((1.5,), "the share left is 1.5; .* or a time, such as 1.5ms"),
        ((0.0,), "the share left is 0"),
        ((0.0, "ms"), "the number of milliseconds is 0"),
        ((float("nan"),), "nan"),
        ((0.5, "s"), "the unit is 's'"),
        ((0.5, "x", 0), "batch_size is 0"),
        ((0.5, "x", 1, 0), "threads is 0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_limits_out_of_range_are_refused(fields: tuple[float, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Latency(*fields)
