"""Plans: through JSON bit for bit, and two in one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.budget import plan_of
from secateur.errors import PlanError
from secateur.plan import Certificate, Cut, Edit, Plan, Removal, compose, from_json, to_json
from secateur.surgery import apply
from secateur.tracing import find_sites

floats = st.floats(allow_nan=False)
names = st.text(min_size=1, max_size=8)
units = st.integers(0, 50)
removals = st.lists(st.builds(Removal, units, floats, units), max_size=4).map(tuple)
edits = st.builds(
    Edit, names, st.integers(1, 60), removals, st.none() | floats, st.lists(names, max_size=3).map(tuple), names
)
cuts = st.builds(Cut, names, st.integers(0, 3), st.integers(1, 60), st.lists(units, max_size=5).map(tuple))
certificates = st.builds(Certificate, floats, floats, floats, names, names)
lists_of_names = st.lists(names, max_size=2).map(tuple)
plans = st.builds(
    Plan,
    names,
    st.lists(edits, max_size=3).map(tuple),
    st.lists(cuts, max_size=3).map(tuple),
    lists_of_names,
    lists_of_names,
    st.none() | certificates,
)


@given(plans)
def test_json_gives_the_same_plan_back(plan: Plan) -> None:
    assert from_json(to_json(plan)) == plan
    assert to_json(from_json(to_json(plan))) == to_json(plan)


def test_infinite_scores_survive_json() -> None:
    plan = Plan("x", (Edit("fc", 2, (Removal(0, math.inf, 0),)),))
    assert from_json(to_json(plan)) == plan


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format": 1}',
        '{"format": 2, "method": "x"}',
        '{"format": 1, "method": "x", "edits": 3}',
    ],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="plan"):
        from_json(text)


def test_kept_units_are_the_others_in_order() -> None:
    edit = Edit("fc", 6, (Removal(4, 0.1, 0), Removal(1, 0.2, 1)))
    assert edit.kept == (0, 2, 3, 5)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)).eval()


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


subsets = st.sets(st.integers(0, 7), max_size=4), st.sets(st.integers(0, 5), max_size=3)


@given(*subsets, st.data())
def test_a_composed_plan_does_what_two_do_in_turn(one: set[int], two: set[int], data: st.DataObject) -> None:
    model = network()
    example = torch.randn(3, 4)
    first = plan_of(find_sites(model, example), {"0": sorted(one), "2": sorted(two)})
    half = apply(model, first)
    again = {
        name: sorted(data.draw(st.sets(st.integers(0, left - 1), max_size=left - 1)))
        for name, left in (("0", 8 - len(one)), ("2", 6 - len(two)))
    }
    second = plan_of(find_sites(half, example), again)
    assert_equal(apply(model, compose(first, second)), apply(half, second))


@given(*subsets)
def test_plans_for_different_sites_commute(one: set[int], two: set[int]) -> None:
    model = network()
    sites = find_sites(model, torch.randn(3, 4))
    first, second = plan_of(sites, {"0": sorted(one)}), plan_of(sites, {"2": sorted(two)})

    def in_turn(plans: tuple[Plan, Plan]) -> nn.Module:
        done = apply(model, plans[0])
        cut_axes = {(cut.tensor, cut.axis) for cut in plans[0].cuts}
        assert not cut_axes & {(cut.tensor, cut.axis) for cut in plans[1].cuts}
        return apply(done, plans[1])

    assert_equal(in_turn((first, second)), in_turn((second, first)))
    assert_equal(in_turn((first, second)), apply(model, compose(first, second)))


def test_a_composed_plan_numbers_units_as_in_the_original() -> None:
    model = network()
    example = torch.randn(3, 4)
    first = plan_of(find_sites(model, example), {"0": [0, 3]})
    second = plan_of(find_sites(apply(model, first), example), {"0": [0, 1]})
    both = compose(first, second)
    assert both.removed == {"0": (0, 3, 1, 2)}
    assert both.edits[0].kept == (4, 5, 6, 7)


def test_a_plan_from_disk_gives_the_same_network_bit_for_bit() -> None:
    model = network()
    plan = plan_of(find_sites(model, torch.randn(3, 4)), {"0": [1, 5], "2": [0]})
    assert_equal(apply(model, from_json(to_json(plan))), apply(model, plan))


def test_a_plan_for_another_model_is_refused() -> None:
    plan = plan_of(find_sites(network(), torch.randn(3, 4)), {"0": [1]})
    with pytest.raises(PlanError, match="8 entries on axis 0, the model has 9"):
        apply(nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 2)), plan)
    with pytest.raises(PlanError, match="no such tensor"):
        apply(nn.ModuleDict({"fc": nn.Linear(4, 8)}), plan)
