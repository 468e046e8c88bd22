"""Budgets: which units go, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import SITES, SIX, networks, random_scores, scores_of, sites_of
from secateur.budget import Below, Budget, Count, Macs, Params, Share, select
from secateur.errors import BudgetError, SettingsError, UnknownNameError
from secateur.plan import Plan, from_json, to_json
from secateur.scores import Scores
from secateur.sites import Sites

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


def test_sites_are_protected_by_patterns_too() -> None:
    scores = scores_of(**SIX)
    by_pattern, by_name = (select(scores, SITES, Share(0.5), protect=(one,)) for one in ("l*t", "left"))
    assert by_pattern == by_name != select(scores, SITES, Share(0.5))


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
