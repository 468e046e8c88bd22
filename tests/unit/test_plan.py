"""Plans: what edits know, and two plans in one."""

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures import Architecture, Network
from plans import LAYERS, NAMES
from secateur.budget import plan_of
from secateur.composing import compose
from secateur.errors import ModelError
from secateur.finding import find_sites
from secateur.plan import (
    Cut,
    Edit,
    LayerEdit,
    Part,
    Plan,
    Removal,
    Swap,
    from_json,
    to_json,
)
from secateur.sites import Sites
from secateur.surgery import apply, certify
from secateur.width import tensors_of
from strategies import architectures, removals

# --- edits ------------------------------------------------------------------------------------------------------------


def removing(*units: int) -> tuple[Removal, ...]:
    return tuple(Removal(unit, 0.0, rank) for rank, unit in enumerate(units))


def test_an_edit_knows_what_stays() -> None:
    assert Edit("a", 5, removing(3, 0)).kept == (1, 2, 4)
    assert Edit("a", 2, ()).kept == (0, 1)
    assert Edit("a", 2, removing(0, 1)).kept == ()


def test_only_sites_that_lose_units_are_in_removed() -> None:
    assert Plan("chosen", (Edit("a", 5, removing(3, 0)), Edit("b", 5, ()))).removed == {"a": (3, 0)}


def test_units_of_a_second_round_are_numbered_as_in_the_original() -> None:
    first = Plan("one", (Edit("a", 6, removing(0, 3), 0.5, ("a.weight",), "b (mean)"),))
    second = Plan("two", (Edit("a", 4, removing(0, 2), 0.7, ("b.weight",), "b (reconstruct)"),))
    (edit,) = compose(first, second).edits
    assert [removal.unit for removal in edit.removed] == [0, 3, 1, 4]
    assert (edit.units, edit.kept, edit.threshold) == (6, (2, 5), 0.7)
    assert edit.with_it == ("a.weight", "b.weight")
    assert edit.taken_over_by == "b (mean), b (reconstruct)"
    assert compose(first, second).method == "two"


def test_what_took_over_before_is_not_forgotten() -> None:
    first = Plan("one", (Edit("a", 6, removing(0), taken_over_by="b (mean)"),))
    second = Plan("two", (Edit("a", 5, removing(0)),))
    assert compose(first, second).edits[0].taken_over_by == "b (mean)"
    assert compose(second, second).edits[0].taken_over_by == "nothing"


def test_another_site_of_the_same_name_stays_apart() -> None:
    """Where a site is gone, one that shared its weights may take its name."""
    first = Plan("one", (Edit("a", 6, removing(0, 1, 2, 3, 4)),))
    second = Plan("two", (Edit("a", 6, removing(5)),))
    assert [edit.units for edit in compose(first, second).edits] == [6, 6]


def test_a_bias_that_a_layer_gained_is_not_cut_in_the_original() -> None:
    first = Plan("one", cuts=(Cut("a.weight", 0, 6, (1,)),), biased=("a",))
    second = Plan("two", cuts=(Cut("a.weight", 0, 5, (1,)), Cut("a.bias", 0, 5, (1,))))
    assert compose(first, second).cuts == (Cut("a.weight", 0, 6, (1, 2)),)


def test_composing_with_nothing_changes_nothing() -> None:
    plan = Plan("one", (Edit("a", 6, removing(0)),), (Cut("a.weight", 0, 6, (0,)),), ("n",), ("b",))
    assert compose(plan, Plan("")) == plan
    assert compose(Plan(""), plan) == plan


def swapped(name: str) -> LayerEdit:
    return LayerEdit(name, "identity", (Swap(name, Part("identity")),))


def test_layers_changed_before_cuts_are_one_step_with_them() -> None:
    layers = Plan("one", layers=(swapped("r"),))
    cuts = Plan("two", (Edit("a", 6, removing(0)),), (Cut("a.weight", 0, 6, (0,)),))
    assert compose(layers, cuts) == Plan("two", cuts.edits, cuts.cuts, layers=layers.layers)


def test_layers_changed_after_cuts_are_a_step_of_their_own() -> None:
    """The weights that are cut first may be of a module that the change then replaces."""
    cuts = Plan("one", (Edit("a", 6, removing(0)),), (Cut("a.weight", 0, 6, (0,)),), emptied=("n",))
    layers = Plan("two", layers=(swapped("a"),))
    later = Plan("three", (Edit("a", 5, removing(0)),), (Cut("a.weight", 0, 5, (0,)),))
    both = compose(cuts, layers)
    assert both == Plan("two", cuts.edits, layers=layers.layers, steps=(cuts, layers))
    everything = compose(both, later)
    last = Plan("three", later.edits, later.cuts, layers=layers.layers)
    assert everything == Plan("three", compose(cuts, later).edits, layers=layers.layers, steps=(cuts, last))
    assert compose(cuts, compose(layers, later)) == everything


def test_composing_layers_with_nothing_changes_nothing() -> None:
    for plan in (
        Plan("one", layers=(swapped("r"),)),
        compose(Plan("", biased=("b",)), Plan("one", layers=(swapped("r"),))),
    ):
        assert compose(plan, Plan("")) == plan
        assert compose(Plan(""), plan) == plan


SOME = st.builds(
    Plan, NAMES, biased=st.lists(NAMES, max_size=1).map(tuple), layers=st.lists(LAYERS, max_size=1).map(tuple)
)


@given(SOME, SOME, SOME)
def test_nothing_gets_lost_between_plans_with_layers(one: Plan, two: Plan, three: Plan) -> None:
    whole = compose(compose(one, two), three)
    assert whole.layers == one.layers + two.layers + three.layers
    steps = whole.steps or (whole,)
    assert tuple(layer for step in steps for layer in step.layers) == whole.layers
    assert all(not step.steps and step.layers for step in steps[1:])


# --- one plan or two --------------------------------------------------------------------------------------------------


def rows_for(architecture: Architecture) -> Tensor:
    shape = (5, architecture.tokens, architecture.features) if architecture.tokens else (5, architecture.features)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def sites_of(model: nn.Module, x: Tensor) -> Sites:
    try:
        return find_sites(model, x)
    except ModelError:
        return Sites(())


def assert_equal(found: nn.Module, wanted: nn.Module) -> None:
    assert tensors_of(found).keys() == tensors_of(wanted).keys()
    for name, tensor in tensors_of(wanted).items():
        assert torch.equal(tensors_of(found)[name], tensor), name


@settings(max_examples=10)
@given(architectures(), st.data())
def test_two_plans_in_one_are_one_after_the_other(architecture: Architecture, data: st.DataObject) -> None:
    network, x = Network(architecture).eval(), rows_for(architecture)
    first = plan_of(sites_of(network, x), data.draw(removals(sites_of(network, x))))
    once = apply(network, first)
    sites = sites_of(once, x)
    second = plan_of(sites, data.draw(removals(sites)))
    both = apply(network, compose(first, second))
    assert_equal(both, apply(once, second))
    assert torch.equal(both(x), apply(once, second)(x))


def halves(units: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    middle = len(units) // 2
    return tuple(units[:middle]), tuple(units[middle:])


@settings(max_examples=6)
@given(architectures(blocks=2), st.data())
def test_disjoint_plans_may_come_in_any_order(architecture: Architecture, data: st.DataObject) -> None:
    network, x = Network(architecture).eval(), rows_for(architecture)
    sites = sites_of(network, x)
    removed = {name: units for name, units in data.draw(removals(sites)).items() if len(units) < sites[name].units}
    parts = [{name: halves(units)[place] for name, units in removed.items()} for place in (0, 1)]
    whole = apply(network, plan_of(sites, removed))
    for first, second in (parts, parts[::-1]):
        once = apply(network, plan_of(sites, first))
        left = {
            name: [unit for unit in range(site.units) if unit not in first.get(name, ())]
            for name, site in by_name(sites)
        }
        later = {name: [left[name].index(unit) for unit in units] for name, units in second.items() if units}
        assert_equal(apply(once, plan_of(sites_of(once, x), later)), whole)


def by_name(sites: Sites) -> list[tuple[str, object]]:
    return [(site.name, site) for site in sites]


def test_a_plan_read_back_cuts_the_same() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    plan = plan_of(find_sites(model, torch.randn(5, 4)), {"0": (4, 1)})
    assert_equal(apply(model, from_json(to_json(plan))), apply(model, plan))
    certificate = certify(apply(model, plan), model, plan, torch.randn(5, 4))
    assert from_json(to_json(Plan("x", certificate=certificate))).certificate == certificate
