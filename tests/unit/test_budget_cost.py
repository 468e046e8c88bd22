"""What a cut leaves, and plans of units chosen by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import SITES, TwoBranches, along, counted, networks, sites_of
from secateur.budget import Cost, cost, plan_of
from secateur.errors import PlanError, UnknownNameError
from secateur.plan import Plan, from_json, to_json
from secateur.sites import Site, Sites, TensorCost


@st.composite
def cut_networks(draw: st.DrawFn) -> tuple[Sites, dict[str, tuple[int, ...]]]:
    """A network and any units of it, none, all but one, or anything between."""
    sites = draw(networks())
    removed = {
        site.name: tuple(draw(st.lists(st.integers(0, site.units - 1), unique=True, max_size=site.units - 1)))
        for site in sites
    }
    return sites, removed


# --- what is left -----------------------------------------------------------------------------------------------------


@given(cut_networks())
def test_the_cost_is_that_of_the_really_smaller_network(case: tuple[Sites, dict[str, tuple[int, ...]]]) -> None:
    sites, removed = case
    widths = [site.units - len(removed[site.name]) for site in sites]
    assert cost(sites, removed) == counted(TwoBranches(*widths, repeat=sites["left"].read_by[0].repeat))


@given(cut_networks())
def test_the_cuts_give_the_shapes_of_the_really_smaller_network(case: tuple[Sites, dict[str, tuple[int, ...]]]) -> None:
    sites, removed = case
    widths = [site.units - len(removed[site.name]) for site in sites]
    expected = TwoBranches(*widths, repeat=sites["left"].read_by[0].repeat).state_dict()
    cut = {tensor.name: np.arange(np.prod(tensor.shape)).reshape(tensor.shape) for tensor in sites.tensors}
    for entry in plan_of(sites, removed).cuts:
        assert entry.length == cut[entry.tensor].shape[entry.axis]
        cut[entry.tensor] = np.delete(cut[entry.tensor], entry.removed, entry.axis)
    assert {name: array.shape for name, array in cut.items()} == {n: tuple(t.shape) for n, t in expected.items()}


def test_sites_that_share_an_axis_share_its_cut() -> None:
    plan = plan_of(sites_of(4, 3, 2, repeat=2), {"right": (2, 0), "left": (1,)})
    cuts = {(cut.tensor, cut.axis): cut.removed for cut in plan.cuts}
    assert len(cuts) == len(plan.cuts)
    assert cuts["head.weight", 1] == (2, 3, 8, 9, 12, 13)
    assert cuts["left.weight", 0] == (1,)
    assert cuts["right.bias", 0] == (0, 2)


def test_a_tensor_that_two_sites_cut_on_both_axes_is_counted_once() -> None:
    sites = sites_of(4, 3, 5)
    assert cost(sites, {"left": (0, 1), "head": (0,)}) == counted(TwoBranches(2, 3, 4, 1))


def test_an_entry_named_twice_in_an_axis_goes_once() -> None:
    twice = Site("a", 2, (along("a.weight", 0, 2),), (), (along("b.weight", 1, 2), along("b.weight", 1, 2)))
    tensors = (TensorCost("a.weight", (2, 3), 1.0), TensorCost("b.weight", (4, 2), 1.0))
    assert cost(Sites((twice,), (), tensors), {"a": (1,)}) == Cost(3 + 4, 3 + 4)


# --- units chosen by hand ---------------------------------------------------------------------------------------------


def test_chosen_units_become_edits_with_kept_units_and_no_threshold() -> None:
    plan = plan_of(SITES, {"head": [2, 0], "left": []}, method="mine")
    (edit,) = plan.edits
    assert plan.method == "mine"
    assert plan.removed == {"head": (0, 2)}
    assert (edit.site, edit.units, edit.kept, edit.threshold) == ("head", 4, (1, 3), None)
    assert edit.with_it == ("head.weight", "last.weight")
    assert from_json(to_json(plan)) == plan


def test_choosing_nothing_is_a_plan_that_does_nothing() -> None:
    assert plan_of(SITES, {}) == plan_of(SITES, {"left": ()}) == Plan("chosen")


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"left": range(6)}, r"^left: the plan removes all 6 units; at least one must stay\.$"),
        ({"left": (6,)}, "left: there is no unit 6; its 6 units are 0 to 5"),
        ({"left": (-1,)}, "left: there is no unit -1"),
        ({"left": (2, 1, 2)}, "left: unit 2 is named twice"),
    ],
)
def test_units_that_cannot_go_are_refused(removed: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(SITES, removed)


def test_an_unknown_site_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean left"):
        plan_of(SITES, {"lefd": (0,)})


def test_a_norm_is_emptied_only_when_nothing_it_normalises_is_left() -> None:
    sites = sites_of(2, 2, 3, droppable=True)
    assert plan_of(sites, {"left": (0, 1)}).emptied == ()
    assert plan_of(sites, {"left": (0, 1), "right": (1,)}).emptied == ()
    assert plan_of(sites, {"left": (0, 1), "right": (0, 1)}).emptied == ("norm",)


def test_a_norm_without_weights_is_emptied_when_all_its_sites_are() -> None:
    sites = sites_of(2, 2, 3, droppable=True)
    left, right = (replace(site, normalised_by=("bare",)) for site in sites.sites[:2])
    sites = replace(sites, sites=(left, right, sites.sites[2]))
    assert plan_of(sites, {"left": (0, 1)}).emptied == ()
    assert plan_of(sites, {"left": (0, 1), "right": (0, 1)}).emptied == ("bare", "norm")
