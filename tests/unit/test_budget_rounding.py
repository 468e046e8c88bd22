"""Widths rounded to multiples: limits hold after rounding, and no wider network of the same order would."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.budget import Macs, Params, Share, cost, select
from secateur.budget.choice import NEAR
from secateur.errors import BudgetError, SettingsError
from secateur.finding import find_sites
from secateur.scores import Scores
from secateur.sites import Sites

SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def sites() -> Sites:
    net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 41), nn.ReLU(), nn.Linear(41, 9), nn.ReLU())
    return find_sites(nn.Sequential(*net, nn.Linear(9, 3)), torch.randn(2, 6))


def scores_of(sites: Sites, seed: int) -> Scores:
    generator = torch.Generator().manual_seed(seed)
    return Scores("any", {s.name: torch.rand(s.units, generator=generator).double() for s in sites}, comparable=True)


@given(
    seed=SEEDS, limit=st.floats(0.2, 0.98), multiple=st.sampled_from([1, 2, 4, 8]), of=st.sampled_from([Params, Macs])
)
def test_a_limit_holds_after_rounding(sites: Sites, seed: int, limit: float, multiple: int, of: type) -> None:
    plan = select(scores_of(sites, seed), sites, of(limit), multiple_of=multiple)
    left, whole = (cost(sites, removed) for removed in (plan.removed, {}))
    share = left.parameters / whole.parameters if of is Params else left.macs / whole.macs
    assert share <= limit
    for site in sites:
        kept = site.units - len(plan.removed.get(site.name, ()))
        assert kept == site.units or kept % multiple == 0


@given(seed=SEEDS, limit=st.floats(0.3, 0.9))
def test_no_wider_network_along_the_order_holds(sites: Sites, seed: int, limit: float) -> None:
    """Beside all prefixes of the common order, rounded by hand: the plan is the widest that holds, or near to it."""
    scores = scores_of(sites, seed)
    lowest = {site.name: scores.values[site.name].sort().values[:-1].tolist() for site in sites}
    order = sorted((value, name) for name, values in lowest.items() for value in values)
    gone, shares = dict.fromkeys(sites.names, 0), []
    whole = cost(sites, {}).macs
    for _, name in order:
        gone[name] += 1
        shares.append(_rounded_macs(sites, scores, gone) / whole)
    widest = max(itertools.chain([0.0], (share for share in shares if share <= limit)))
    found = cost(sites, select(scores, sites, Macs(limit), multiple_of=4).removed).macs / whole
    assert widest - 1e-12 <= found <= limit or found >= (1 - NEAR) * limit


def _rounded_macs(sites: Sites, scores: Scores, gone: dict[str, int]) -> int:
    removed = {}
    for site in sites:
        kept = site.units - gone[site.name]
        near = min(max(int(kept / 4 + 0.5), 1) * 4, site.units) if gone[site.name] else site.units
        removed[site.name] = scores.values[site.name].argsort()[: site.units - near].tolist()
    return cost(sites, removed).macs


def test_a_limit_below_the_narrowest_multiples_is_refused(sites: Sites) -> None:
    with pytest.raises(BudgetError, match="left with 8 units at each of 3 sites"):
        select(scores_of(sites, 0), sites, Macs(0.05), multiple_of=8)


def test_a_share_is_rounded_to_the_nearest_multiple(sites: Sites) -> None:
    plan = select(scores_of(sites, 0), sites, Share(0.4), multiple_of=8)
    kept = [site.units - len(plan.removed.get(site.name, ())) for site in sites]
    assert kept == [16, 24, 8]  # of 14, 25 and 5


def test_a_multiple_of_nothing_is_refused(sites: Sites) -> None:
    with pytest.raises(SettingsError, match="multiple_of is 0"):
        select(scores_of(sites, 0), sites, Macs(0.5), multiple_of=0)
