"""Budgets: how many units go, which ones, and what is left."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur import zoo
from secateur.budget import Below, Budget, Cost, Count, Macs, Params, Share, cost, parse, plan_of, select
from secateur.errors import BudgetError, PlanError, SettingsError, UnknownNameError
from secateur.plan import Plan, from_json, to_json
from secateur.scores import Scores
from secateur.sites import Site, Sites, TensorAxis, TensorCost
from secateur.tracing import sites_in, trace

INPUTS, OUTPUTS = 3, 2


class TwoBranches(nn.Module):
    """Two layers side by side, concatenated, normalised, repeated, and read by a stack of two more."""

    def __init__(self, left: int, right: int, head: int, repeat: int):
        super().__init__()
        self.left = nn.Linear(INPUTS, left)
        self.right = nn.Linear(INPUTS, right)
        self.norm = nn.BatchNorm1d((left + right) * repeat)
        self.head = nn.Linear((left + right) * repeat, head, bias=False)
        self.last = nn.Linear(head, OUTPUTS)


def sites_of(left: int, right: int, head: int, repeat: int = 1, *, droppable: bool = False) -> Sites:
    """The sites of `TwoBranches`, written by hand."""
    with torch.device("meta"):
        model = TwoBranches(left, right, head, repeat)
    ahead = tuple(range(left * repeat))
    behind = tuple(range(left * repeat, (left + right) * repeat))
    return Sites(
        sites=(
            _branch("left", left, ahead, repeat, droppable=droppable),
            _branch("right", right, behind, repeat, droppable=droppable),
            Site("head", head, (_along("head.weight", 0, head),), (), (_along("last.weight", 1, head),)),
        ),
        tensors=tuple(
            TensorCost(name, tuple(tensor.shape), 1.0 if tensor.dim() == 2 else 0.0, isinstance(tensor, nn.Parameter))
            for name, tensor in model.state_dict(keep_vars=True).items()
        ),
    )


def _branch(name: str, units: int, places: tuple[int, ...], repeat: int, *, droppable: bool) -> Site:
    norms = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    return Site(
        name,
        units,
        made_by=(_along(f"{name}.weight", 0, units),),
        carried_by=(_along(f"{name}.bias", 0, units), *(TensorAxis(norm, 0, places, repeat) for norm in norms)),
        read_by=(TensorAxis("head.weight", 1, places, repeat),),
        droppable=droppable,
        normalised_by=(),
    )


def _along(tensor: str, axis: int, units: int) -> TensorAxis:
    return TensorAxis(tensor, axis, tuple(range(units)))


def scores_of(comparable: bool = False, **values: list[float]) -> Scores:
    return Scores("made_up", {name: torch.tensor(v, dtype=torch.float64) for name, v in values.items()}, comparable)


def random_scores(sites: Sites, seed: int, levels: int = 5) -> Scores:
    """Scores with many ties and some zeros."""
    generator = np.random.default_rng(seed)
    return scores_of(**{site.name: (generator.integers(0, levels, site.units) / 2.0).tolist() for site in sites})


def counted(model: nn.Module) -> Cost:
    """Parameters and multiply-adds of a real network."""
    macs = sum(layer.in_features * layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear))
    return Cost(sum(parameter.numel() for parameter in model.parameters()), macs)


def left_of(sites: Sites, plan: Plan) -> Cost:
    return cost(sites, plan.removed)


SIX = {"left": [4.0, 1.0, 3.0, 1.0, 2.0, 5.0], "right": [0.4, 0.1, 0.3], "head": [9.0, 7.0, 8.0, 6.0]}
SITES = sites_of(6, 3, 4)


@st.composite
def networks(draw: st.DrawFn) -> Sites:
    width = st.integers(1, 9)
    return sites_of(draw(width), draw(width), draw(width), draw(st.integers(1, 3)))


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
    twice = Site("a", 2, (_along("a.weight", 0, 2),), (), (_along("b.weight", 1, 2), _along("b.weight", 1, 2)))
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


# --- which units go ---------------------------------------------------------------------------------------------------


def test_the_lowest_scores_go_and_each_removal_says_why() -> None:
    plan = select(scores_of(**SIX), SITES, Share(0.5))
    left, right, head = plan.edits
    assert plan.method == "made_up"
    assert [(r.unit, r.score, r.rank) for r in left.removed] == [(1, 1.0, 0), (3, 1.0, 1), (4, 2.0, 2)]
    assert (left.threshold, right.threshold, head.threshold) == (2.0, 0.3, 7.0)
    assert plan.removed == {"left": (1, 3, 4), "right": (1, 2), "head": (1, 3)}
    assert from_json(to_json(plan)) == plan


def test_ties_go_by_position() -> None:
    flat = scores_of(left=[1.0] * 6, right=[1.0] * 3, head=[1.0] * 4)
    assert select(flat, SITES, Count(2)).removed == {"left": (0, 1), "right": (0, 1), "head": (0, 1)}
    assert select(flat, SITES, Share(0.5, of="model")).removed == {"left": (0, 1, 2, 3, 4), "right": (0, 1)}


@pytest.mark.parametrize(
    ("ratio", "gone"), [(1e-9, {}), (0.1, {"left": 1}), (0.29, {"left": 2, "right": 1, "head": 1})]
)
def test_a_share_is_rounded_to_the_nearest_unit(ratio: float, gone: dict[str, int]) -> None:
    removed = select(scores_of(**SIX), SITES, Share(ratio)).removed
    assert {site: len(units) for site, units in removed.items()} == gone


@pytest.mark.parametrize("budget", [Share(0.999), Share(0.999, of="model"), Below(1e9), Below(0.999, relative=True)])
def test_every_site_keeps_its_best_unit(budget: Budget) -> None:
    scores = scores_of(left=[0.0] * 5 + [0.1], right=[0.0] * 3, head=[0.0, 1.0, 0.0, 0.0])
    plan = select(scores, SITES, budget)
    assert [edit.kept for edit in plan.edits] == [(5,), (2,), (1,)]


def test_only_below_and_count_empty_a_droppable_site() -> None:
    sites = sites_of(2, 2, 3, droppable=True)
    scores = scores_of(left=[1.0, 2.0], right=[3.0, 4.0], head=[1.0, 2.0, 3.0])
    assert select(scores, sites, Below(2.0)).removed == {"left": (0, 1), "head": (0, 1)}
    assert select(scores, sites, Count({"left": 2})).removed == {"left": (0, 1)}
    for budget in (Share(0.99), Share(0.99, of="model"), Params(18)):
        assert {name: len(units) for name, units in select(scores, sites, budget).removed.items()} == {
            "left": 1,
            "right": 1,
            "head": 2,
        }


def test_protected_sites_lose_nothing() -> None:
    scores = scores_of(**SIX)
    named = Count({"left": 6, "head": 1})
    for budget in (Share(0.5), Share(0.5, of="model"), Count(1), named, Below(100.0), Params(0.9), Macs(0.9)):
        removed = select(scores, SITES, budget, protect=("left",)).removed
        assert removed
        assert "left" not in removed


def test_a_count_can_differ_from_site_to_site() -> None:
    removed = select(scores_of(**SIX), SITES, Count({"head": 3, "left": 0})).removed
    assert removed == {"head": (1, 2, 3)}


def test_below_takes_the_threshold_itself_along() -> None:
    assert select(scores_of(**SIX), SITES, Below(1.0)).removed == {"left": (1, 3), "right": (1, 2)}
    assert select(scores_of(**SIX), SITES, Below(0.25, relative=True)).removed == {"left": (1, 3), "right": (1,)}


def test_a_share_of_the_model_weighs_sites_by_their_root_mean_square() -> None:
    scores = scores_of(left=[100.0, 1.0, 100.0, 100.0, 100.0, 100.0], right=[0.2, 0.3, 0.3], head=[1.0, 1.0, 1.0, 1.0])
    removed = select(scores, SITES, Share(2 / 13, of="model")).removed
    assert removed == {"left": (1,), "right": (0,)}


def test_comparable_scores_are_compared_as_they_are() -> None:
    scores = scores_of(comparable=True, **SIX)
    assert select(scores, SITES, Share(4 / 13, of="model")).removed == {"left": (1, 3), "right": (1, 2)}


@given(networks(), st.integers(0, 99), st.floats(0.05, 0.95))
def test_scaling_one_site_does_not_change_which_units_go(sites: Sites, seed: int, ratio: float) -> None:
    scores = random_scores(sites, seed)
    scaled = Scores(scores.method, {**scores.values, "left": scores.values["left"] * 2.0**600})
    budget = Share(ratio, of="model")
    assert select(scaled, sites, budget).removed == select(scores, sites, budget).removed


@given(networks(), st.integers(0, 99), st.floats(0.05, 0.95))
def test_what_goes_scores_no_more_than_what_stays(sites: Sites, seed: int, ratio: float) -> None:
    scores = random_scores(sites, seed)
    for budget in (Share(ratio), Share(ratio, of="model"), Below(ratio), Macs(0.9999)):
        try:
            plan = select(scores, sites, budget)
        except BudgetError:
            continue
        for edit in plan.edits:
            values = scores.values[edit.site]
            assert max(r.score for r in edit.removed) == edit.threshold <= min(values[list(edit.kept)], default=np.inf)


@given(networks(), st.integers(0, 99), st.floats(0.05, 0.45), st.floats(0.0, 0.5))
def test_a_larger_share_removes_what_the_smaller_did_and_more(
    sites: Sites, seed: int, ratio: float, more: float
) -> None:
    scores = random_scores(sites, seed)
    small = select(scores, sites, Share(ratio, of="model")).removed
    large = select(scores, sites, Share(ratio + more, of="model")).removed
    assert all(set(units) <= set(large[site]) for site, units in small.items())


# --- limits on cost ---------------------------------------------------------------------------------------------------


@given(networks(), st.integers(0, 99), st.sampled_from([Params, Macs]), st.floats(0.1, 1.0), st.booleans())
def test_a_limit_is_met_with_the_fewest_removals(
    sites: Sites, seed: int, kind: type, share: float, comparable: bool
) -> None:
    # Ties only where scores are compared as they are: two ways to divide may break a tie in the last bit.
    scores = replace(random_scores(sites, seed, levels=5 if comparable else 10**6), comparable=comparable)
    limit = share * (cost(sites, {}).parameters if kind is Params else cost(sites, {}).macs)
    steps = one_by_one(sites, scores)
    enough = [step for step in steps if left_by(kind, sites, step) <= limit]
    if not enough:
        with pytest.raises(BudgetError, match=f"{left_by(kind, sites, steps[-1]):,} are left with one unit"):
            select(scores, sites, kind(share))
    else:
        removed = select(scores, sites, kind(share)).removed
        fewest = {name: tuple(sorted(units)) for name, units in enough[0].items() if units}
        if left_by(kind, sites, enough[0]) >= 0.99 * limit:
            assert removed == fewest
        else:  # the last unit overshoots: others may do, as long as they stay nearer to the limit
            assert left_by(kind, sites, enough[0]) <= left_by(kind, sites, removed) <= limit
            assert removed == fewest or left_by(kind, sites, enough[0]) < left_by(kind, sites, removed)
            assert all(set(units) == lowest_of(scores, name, len(units)) for name, units in removed.items())


def lowest_of(scores: Scores, site: str, count: int) -> set[int]:
    """The units of a site with the lowest scores, ties by position."""
    values = scores.values[site].tolist()
    return set(sorted(range(len(values)), key=lambda unit: (values[unit], unit))[:count])


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", [Params, Macs])
def test_a_residual_network_meets_a_limit_to_one_per_cent(kind: type, limit: float) -> None:
    torch.manual_seed(1)
    model, example = zoo.build("resnet20"), zoo.example("resnet20")
    sites = sites_in(trace(model.eval(), example))
    scores = random_scores(sites, 0, levels=10**6)
    before, after = left_by(kind, sites, {}), left_by(kind, sites, select(scores, sites, kind(limit)).removed)
    assert 0.99 * limit * before <= after <= limit * before


def one_by_one(sites: Sites, scores: Scores) -> list[dict[str, list[int]]]:
    """What is gone after each removal of the unit with the lowest score, in root mean squares: slow and literal."""
    scaled = {
        name: value / (1.0 if scores.comparable else float(value.square().mean().sqrt()))
        for name, value in scores.values.items()
    }
    gone: dict[str, list[int]] = {site.name: [] for site in sites}
    steps = [{name: list(units) for name, units in gone.items()}]
    while True:
        left = [
            (float(scaled[site.name][unit]), place, unit, site.name)
            for place, site in enumerate(sites)
            for unit in range(site.units)
            if unit not in gone[site.name] and len(gone[site.name]) < site.units - 1
        ]
        if not left:
            return steps
        *_, unit, name = min(left)
        gone[name].append(unit)
        steps.append({name: list(units) for name, units in gone.items()})


def left_by(kind: type, sites: Sites, removed: dict[str, list[int]]) -> int:
    left = cost(sites, removed)
    return left.parameters if kind is Params else left.macs


@pytest.mark.parametrize("budget", [Params(0.4), Params(400_000), Macs(0.3), Macs(250_000), Params(0.02)])
def test_a_wide_network_lands_within_one_percent_below_the_limit(budget: Params | Macs) -> None:
    sites = sites_of(900, 700, 600)
    generator = np.random.default_rng(1)
    scores = scores_of(**{site.name: generator.random(site.units).tolist() for site in sites})
    before, after = cost(sites, {}), left_of(sites, select(scores, sites, budget))
    reached, original = (after.parameters, before.parameters)
    if isinstance(budget, Macs):
        reached, original = (after.macs, before.macs)
    limit = budget.limit * original if isinstance(budget.limit, float) else budget.limit
    assert 0.99 * limit <= reached <= limit


def test_a_limit_that_holds_already_removes_nothing() -> None:
    for budget in (Params(1.0), Macs(1.0), Params(10**9)):
        assert select(scores_of(**SIX), SITES, budget) == Plan("made_up")


def test_a_limit_out_of_reach_names_the_least_that_is_left() -> None:
    least = counted(TwoBranches(1, 1, 1, 1)).parameters
    assert left_of(SITES, select(scores_of(**SIX), SITES, Params(least))).parameters == least
    with pytest.raises(BudgetError, match=f"{least - 1} of 100 parameters cannot be reached; {least} are left"):
        select(scores_of(**SIX), SITES, Params(least - 1))


def test_eighty_thousand_units_are_chosen_in_seconds() -> None:
    sites = sites_of(40_000, 30_000, 10_000)
    generator = np.random.default_rng(0)
    scores = Scores("made_up", {site.name: torch.from_numpy(generator.random(site.units)) for site in sites})
    plan = select(scores, sites, Params(0.5))
    assert 0.495 < left_of(sites, plan).parameters / cost(sites, {}).parameters <= 0.5


# --- nothing to choose from, and what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("budget", [Share(0.5), Share(0.5, of="model"), Count(1), Below(1.0), Params(1.0), Macs(1.0)])
def test_no_sites_give_an_empty_plan(budget: Budget) -> None:
    assert select(Scores("made_up", {}), Sites(()), budget) == Plan("made_up")


@pytest.mark.parametrize("budget", [Share(0.9), Share(0.9, of="model"), Below(9.0)])
def test_sites_of_one_unit_keep_it(budget: Budget) -> None:
    sites = sites_of(1, 1, 1)
    assert select(scores_of(left=[0.0], right=[0.0], head=[0.0]), sites, budget) == Plan("made_up")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_no_numbers_are_refused_with_site_and_count(bad: float) -> None:
    scores = scores_of(**{**SIX, "right": [bad, 1.0, bad]})
    with pytest.raises(BudgetError, match="right: 2 of 3 scores of made_up are NaN or infinite"):
        select(scores, SITES, Share(0.5))
    assert "right" not in select(scores, SITES, Share(0.5), protect=["right"]).removed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"left": [1.0]}, "left: 1 scores for 6 units"),
        ({"lefd": [1.0]}, "did you mean left"),
    ],
)
def test_scores_of_another_model_are_refused(changed: dict[str, list[float]], message: str) -> None:
    with pytest.raises((BudgetError, UnknownNameError), match=message):
        select(scores_of(**{**SIX, **changed}), SITES, Share(0.5))


def test_a_site_without_scores_is_refused() -> None:
    with pytest.raises(BudgetError, match="right: made_up gave no scores"):
        select(scores_of(left=SIX["left"], head=SIX["head"]), SITES, Share(0.5))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Count(3), "right: 3 of 3 units are to go; give 2 or fewer"),
        (Count({"right": 7}), "right: 7 of 3 units are to go; give 2 or fewer"),
    ],
)
def test_a_count_that_cannot_go_is_refused(budget: Count, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        select(scores_of(**SIX), SITES, budget)


def test_unknown_sites_in_budget_and_protection_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean right"):
        select(scores_of(**SIX), SITES, Count({"rihgt": 1}))
    with pytest.raises(UnknownNameError, match="did you mean head"):
        select(scores_of(**SIX), SITES, Share(0.5), protect=("haed",))


NAN = float("nan")


@pytest.mark.parametrize("ratio", [0, 1, 1.5, -0.1, NAN])
def test_a_share_outside_zero_and_one_is_refused_with_its_value(ratio: float) -> None:
    with pytest.raises(SettingsError, match=rf"Share: the ratio is {ratio}; give .* above 0 and below 1"):
        Share(ratio)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Count, (0,), "0 units; give at least 1"),
        (Count, ({"left": -1},), "-1 units at left"),
        (Below, (NAN,), "the threshold is nan"),
        (Below, (1.0, True), "the relative threshold is 1.0"),
        (Params, (0.0,), "the share left is 0.0"),
        (Params, (NAN,), "the share left is nan"),
        (Macs, (1.5,), "the share left is 1.5"),
        (Macs, (0,), "0 may be left"),
    ],
)
def test_settings_out_of_range_are_refused(kind: type, values: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        kind(*values)


@pytest.mark.usefixtures("unchecked")
def test_a_share_of_something_else_is_refused() -> None:
    with pytest.raises(SettingsError, match="Share: of is 'layer'; give 'site' or 'model'"):
        Share(0.5, of="layer")  # type: ignore[arg-type]


# --- amounts people write ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("50%", 0.5),
        ("0.4", 0.4),
        (".4", 0.4),
        ("1.0", 1.0),
        ("2M", 2_000_000),
        ("1.5k", 1500),
        ("1G", 10**9),
        (" 30 ", 30),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, amount: float) -> None:
    assert parse(text) == amount
    assert type(parse(text)) is type(amount)


@pytest.mark.parametrize("text", ["", "%", "-3", "nan", "inf", "1e3", "2 M 3", "half", "0x10", "5T"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not an amount; write a share as 40% or"):
        parse(text)
