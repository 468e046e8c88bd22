"""What a recipe says is done: its stages, rounds and protected sites, also where nothing is left to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from pipelines import DENSE, MAGNITUDE, assert_same_tensors, net, recipe, task_of, widths
from secateur import methods
from secateur.budget import Below, Count, Params, Share
from secateur.errors import BudgetError, ModelError, UnknownNameError
from secateur.finding import find_sites
from secateur.pipeline import compress
from secateur.recipe import Recipe, Stage
from secateur.staging import recipe_of
from secateur.surgery import apply

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_a_name_or_a_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[[stage]]\nmethod = "magnitude"\ncount = 4\nrecover = false\n')
    assert widths(compress(net(), task_of(), path)) == {"0": 6, "2": 4}
    assert recipe_of("magnitude").stages[0].method == MAGNITUDE


def test_stages_follow_one_another() -> None:
    stages = (Stage(DENSE, Count(3), recovery=None), Stage(MAGNITUDE, Count({"2": 2}), recovery=None))
    result = compress(net(), task_of(), Recipe(stages))
    assert widths(result) == {"0": 7, "2": 3}
    assert result.method == "dense, magnitude"
    assert [edit.site for round_ in result.rounds for edit in round_.plan.edits] == ["0", "2", "2"]


def test_one_by_one_scores_each_site_on_what_the_cuts_before_it_left() -> None:
    model, task = net(), task_of()
    result = compress(model, task, recipe(Share(0.5), one_by_one=True))
    (round_,) = result.rounds
    assert [scores.site for scores in round_.scores] == ["0", "2"]
    once = apply(model, replace(round_.plan, edits=(), cuts=tuple(c for c in round_.plan.cuts if not _is_of_second(c))))
    wanted = methods.score(once, find_sites(once, task), task, DENSE).values["2"]
    assert round_.scores[1].scores == pytest.approx(tuple(wanted.tolist()))
    together = compress(model, task, recipe(Share(0.5))).rounds[0].scores[1].scores
    assert round_.scores[1].scores != pytest.approx(together)


def _is_of_second(cut: Any) -> bool:
    return (cut.tensor, cut.axis) not in {("0.weight", 0), ("0.bias", 0), ("2.weight", 1)}


@pytest.mark.parametrize(("patterns", "one_by_one"), [(("0",), False), (("[0-1]", "0*"), True)])
def test_protected_sites_lose_nothing(patterns: tuple[str, ...], one_by_one: bool) -> None:
    result = compress(net(), task_of(), recipe(Share(0.5), protect=patterns, one_by_one=one_by_one))
    assert widths(result) == {"0": 10, "2": 4}


def test_a_pattern_that_matches_no_site_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="'head' is not a known site to protect"):
        compress(net(), task_of(), recipe(Share(0.5), protect=("head",)))


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(("share", "left"), [(0.3, {"0": 7, "2": 6}), (0.1, {"0": 9, "2": 7})])
def test_many_rounds_remove_no_more_than_one(share: float, left: dict[str, int], one_by_one: bool) -> None:
    result = compress(net(), task_of(), recipe(Share(share), rounds=5, one_by_one=one_by_one))
    assert widths(result) == left
    assert [round_.number for round_ in result.rounds] == list(range(1, len(result.rounds) + 1))
    assert result.notes == ()


def test_a_share_of_less_than_a_unit_in_all_rounds_says_so() -> None:
    result = compress(net(), task_of(), recipe(Share(0.02), rounds=2))
    assert result.notes == ("round 1: dense under Share(ratio=0.02, of='site') removes nothing; raise the budget.",)


def test_where_nothing_is_removed_a_note_says_so_and_the_next_stage_goes_on() -> None:
    stages = (Stage(DENSE, Below(-1.0), rounds=3, recovery=None), Stage(DENSE, Count(2), recovery=None))
    result = compress(net(), task_of(), Recipe(stages))
    assert len(result.notes) == 1
    assert "round 1: dense under Below(threshold=-1.0, relative=False) removes nothing" in result.notes[0]
    assert widths(result) == {"0": 8, "2": 6}
    assert [round_.number for round_ in result.rounds] == [1]


def test_a_run_that_removes_nothing_gives_the_network_as_it_was() -> None:
    model = net()
    result = compress(model, task_of(), recipe(Below(-1.0)))
    assert_same_tensors(result.model, model)
    assert (len(result.steps), result.rounds, result.original) == (1, (), result.final)


def test_a_network_with_nothing_left_to_remove_ends_the_run() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
    result = compress(model, task_of(model), recipe(Count(2), compensate="mean"))
    assert widths(result) == {"0": 1}
    stages = (Stage(DENSE, Count(2), recovery=None), Stage(DENSE, Count(1), recovery=None))
    result = compress(model, task_of(model), Recipe(stages))
    assert widths(result) == {"0": 1}
    assert result.notes[0].startswith("round 2: Sequential: nothing can be removed")


def test_what_cannot_be_done_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing can be removed"):
        compress(nn.Linear(4, 3), task_of(), recipe(Share(0.5)))
    with pytest.raises(BudgetError, match="cannot be reached"):
        compress(net(), task_of(), recipe(Params(3)))
