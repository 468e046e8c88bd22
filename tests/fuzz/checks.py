"""What must hold for every network and every cut."""

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

import secateur as sc
from footprint import untouched
from fuzz.counting import MismatchError
from fuzz.cuts import drawn_units, families, removable_share
from fuzz.networks import Recipe, inputs, network_of
from fuzz.oracle import answers, assert_cut, tensors
from secateur.composing import compose
from secateur.errors import ModelError
from secateur.plan import Plan, from_json, to_json
from secateur.sites import Pinned, Sites

ROWS = 3
CERTIFIED = 8  # of so many networks, one is also looked at in this way, since each traces anew
CUT_AGAIN = 4
COMMUTED = 8
Removed = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Outcome:
    """What was looked at: how much could go, how much went, what held the rest, and whether it made a difference."""

    units: int
    removed: int
    share: float
    pinned_by: tuple[str, ...]
    is_seen: bool


def checked(recipe: Recipe, removed: Removed | None = None) -> Outcome:
    """Check a random network and a cut, drawn from its seed unless given.

    Raises:
        MismatchError: the cut network is wrong.
    """
    rng = Random(f"{recipe.seed} {recipe.cut} checks")
    network, x = network_of(recipe), inputs(recipe.start, ROWS)
    with untouched(network):
        sites = found_sites(network, x, whole_heads=recipe.whole_heads)
        removed = drawn_units(sites, cut_generator(recipe)) if removed is None else removed
        plan = sc.plan_of(sites, removed)
        small = sc.apply(network, plan, verify=rng.randrange(CERTIFIED) == 0 and bool(plan.cuts), example=x)
        assert_cut(network, small, plan, inputs(recipe.start, ROWS + 2, seed=1))
        assert_survives_json(network, small, plan)
    if rng.randrange(COMMUTED) == 0:
        assert_commutes(network, sites, removed, x, whole_heads=recipe.whole_heads)
    if rng.randrange(CUT_AGAIN) == 0:
        assert_can_be_cut_again(small, x, rng)
    return _outcome(network, small, sites, removed, x)


def cut_generator(recipe: Recipe) -> Random:
    """Where the units to remove are drawn from."""
    return Random(f"{recipe.seed} {recipe.cut} cuts")


def found_sites(network: nn.Module, x: Tensor, *, whole_heads: bool = False) -> Sites:
    """The sites of a network, none where nothing can be removed."""
    try:
        return sc.find_sites(network, x, whole_heads=whole_heads)
    except ModelError as error:
        if "nothing can be removed" not in str(error):
            raise
        return Sites((), (Pinned("", 0, "", str(error)),))


def assert_survives_json(network: nn.Module, small: nn.Module, plan: Plan) -> None:
    """Fail unless the plan from disk gives the same network bit for bit."""
    again = from_json(to_json(plan))
    if again != plan:
        raise MismatchError("JSON: the plan comes back changed")
    _assert_same("JSON", sc.apply(network, again), small)


def assert_commutes(
    network: nn.Module, sites: Sites, removed: Removed, x: Tensor, *, whole_heads: bool = False
) -> None:
    """Fail unless two halves of a cut give the same network in either order, and as one plan."""
    cut = [family for family in families(sites) if family[0].name in removed]
    halves = [{site.name: removed[site.name] for family in cut[start::2] for site in family} for start in (0, 1)]
    if any(len(units) == sites[name].units for name, units in removed.items()) or not all(halves):
        return
    whole = sc.apply(network, sc.plan_of(sites, removed))
    for first, second in (halves, halves[::-1]):
        before = sc.plan_of(sites, first)
        between = sc.apply(network, before)
        left = found_sites(between, x, whole_heads=whole_heads)
        if any(name not in left.names or left[name].units != sites[name].units for name in second):
            continue  # the sites have other names or neighbours once some units are gone
        after = sc.plan_of(left, second)
        _assert_same("one after the other", sc.apply(between, after), whole)
        _assert_same("composed", sc.apply(network, compose(before, after)), whole)


def assert_can_be_cut_again(small: nn.Module, x: Tensor, rng: Random) -> None:
    """Fail unless the cut network can be cut like any other."""
    sites = found_sites(small, x)
    plan = sc.plan_of(sites, drawn_units(sites, rng))
    assert_cut(small, sc.apply(small, plan), plan, x)


def _assert_same(how: str, found: nn.Module, wanted: nn.Module) -> None:
    one, other = tensors(found), tensors(wanted)
    if one.keys() != other.keys() or not all(torch.equal(one[name], other[name]) for name in one):
        raise MismatchError(f"{how}: the tensors differ")
    if repr(found) != repr(wanted):
        raise MismatchError(f"{how}: the modules' attributes differ")


def _outcome(network: nn.Module, small: nn.Module, sites: Sites, removed: Removed, x: Tensor) -> Outcome:
    before, after = answers(network, x), answers(small, x)
    pairs = zip(before, after, strict=True)
    return Outcome(
        units=sum(site.units for site in sites),
        removed=sum(map(len, removed.values())),
        share=removable_share(sites, network),
        pinned_by=tuple(sorted({pin.operator for pin in sites.pinned})),
        is_seen=any(not torch.allclose(one, other, rtol=1e-6, atol=0.0) for one, other in pairs),
    )
