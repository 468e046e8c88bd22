"""Trials of sites: sizes that follow from other sizes are never fitted by chance."""

import itertools
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from secateur.finding import _losses, _parts, find_sites
from secateur.sites import Site

STEPS = st.lists(st.integers(2, 9), min_size=1, max_size=12)


def families(steps: list[int]) -> list[tuple[Site, ...]]:
    return [(Site(f"site{number}", units, (), (), ()),) for number, units in enumerate(steps)]


@given(STEPS)
def test_of_any_two_sites_one_loses_another_share_in_some_trial_or_is_cut_alone(steps: list[int]) -> None:
    found = families(steps)
    trials = (first := _losses(found), _losses(found, first))
    parts = [{family[0].name for family in part} for part in _parts(found, trials)]
    for (one,), (other,) in itertools.combinations(found, 2):
        shares = [[Fraction(losses[site.name], site.units) for site in (one, other)] for losses in trials]
        told_apart = any(share != another for share, another in shares)
        assert told_apart or any((one.name in part) != (other.name in part) for part in parts)


@given(STEPS)
def test_a_second_trial_takes_another_number_of_units_from_every_site(steps: list[int]) -> None:
    found = families(steps)
    first = _losses(found)
    second = _losses(found, first)
    assert all(first[site.name] != second[site.name] for (site,) in found if site.units > 2)


def test_two_trials_tell_apart_more_sites_than_there_are_shares() -> None:
    found = families([5] * 12)  # 4 shares, 12 pairs of different ones
    first = _losses(found)
    assert _parts(found, (first, _losses(found, first))) == []
    assert len(_parts(found, (first,))) == 2


@given(STEPS)
def test_every_site_loses_some_and_keeps_some(steps: list[int]) -> None:
    found = families(steps)
    assert all(1 <= _losses(found)[site.name] < site.units for (site,) in found)


def test_sites_with_room_lose_other_shares() -> None:
    found = families([4, 2, 8])
    losses = _losses(found)
    assert len({Fraction(losses[site.name], site.units) for (site,) in found}) == 3
    assert _parts(found, (losses,)) == []


class Counting(nn.Module):
    """A network that takes a size from the width of its inputs; `seen` has the weights of every run."""

    def __init__(self, width: int, seen: list[tuple[object, ...]]) -> None:
        super().__init__()
        self.stem, self.both, self.free = nn.Linear(3, width), nn.Linear(width, 2 * width), nn.Linear(width, 5)
        self.head = nn.Linear(5, 2)
        self.note = seen.append

    def forward(self, x: Tensor) -> Tensor:
        if type(x) is Tensor:  # not while it is traced
            self.note(tuple((tuple(p.shape), p.dtype, float(p.detach().sum())) for p in self.parameters()))
        x = self.stem(x)
        one, other = self.both(x).split(x.shape[-1], dim=-1)
        return self.head(self.free(one * other))


@pytest.mark.parametrize("width", [2, 4, 6])
def test_a_size_taken_from_the_inputs_width_holds_what_depends_on_it(width: int) -> None:
    sites = find_sites(Counting(width, []), torch.randn(2, 3))
    assert sites.names == ("free",)


def test_no_cut_network_is_tried_twice() -> None:
    seen: list[tuple[object, ...]] = []
    find_sites(Counting(6, seen), torch.randn(2, 3))
    runs = Counter(seen)
    shapes = [tuple(p.shape) for p in Counting(6, []).parameters()]
    cut = {weights: times for weights, times in runs.items() if [shape for shape, *_ in weights] != shapes}
    assert len(cut) > 2
    assert set(cut.values()) == {1}


class Named(nn.Module):
    """A network that keeps a size under a name of its own; `seen` has the shapes of the weights of every run."""

    def __init__(self, seen: list[object]) -> None:
        super().__init__()
        self.stem, self.both, self.head = nn.Linear(3, 6), nn.Linear(6, 10), nn.Linear(5, 2)
        self.breadth = 10
        self.note = seen.append

    def forward(self, x: Tensor) -> Tensor:
        if type(x) is Tensor:  # not while it is traced
            self.note(tuple(p.shape for p in self.parameters()))
        one, other = self.both(self.stem(x)).split(self.breadth // 2, dim=-1)
        return self.head(one * other)


def test_sites_that_follow_by_a_name_of_the_users_own_are_not_looked_for_one_by_one() -> None:
    seen: list[object] = []
    sites = find_sites(Named(seen), torch.randn(2, 3))
    assert set(sites.names) == {"stem", "both"}
    assert [resize.name for resize in sites["both"].sized] == ["breadth"]
    whole = tuple(p.shape for p in Named([]).parameters())
    assert len([shapes for shapes in seen if shapes != whole]) == 3  # one that does not run, then two that do
