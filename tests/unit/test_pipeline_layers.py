"""The whole line with methods of layers: rounds, limits, resuming, files, recipes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from labelled import labelled_by, same_output
from secateur import report, storage
from secateur.budget import Below, Budget, Count, Macs, Share
from secateur.cli.tomlfile import written
from secateur.errors import BudgetError, SettingsError, UnknownNameError
from secateur.export import export_onnx
from secateur.methods import get
from secateur.pipeline import Progress, compress
from secateur.plan import from_json, to_json
from secateur.recipe import Recipe, Stage, from_dict, read, to_dict
from secateur.recovery import Recovery
from secateur.report.reading import read as result_of
from secateur.result import Result
from secateur.result import to_json as result_to_json
from secateur.stretches import find_layers

QUICK = {"recovery": None}


pytestmark = pytest.mark.usefixtures("quick")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.act(self.inner(x)))


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), *(Block() for _ in range(4)), nn.Linear(6, 3))


TASK = labelled_by(net())


def stage(method: str, budget: Budget, **settings: Any) -> Stage:
    return Stage(get(method), budget, **{**QUICK, **settings})


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.children()]


@pytest.mark.parametrize(
    ("method", "settings", "kind"),
    [
        ("linear_fit", {"fold": False}, "Linear"),
        ("block_influence", {"fold": False}, "Identity"),
        ("easier", {}, "Block"),
        ("linear_fit", {}, "Block"),  # folded
        ("tlc", {"become": "on_off", "fold": False}, "Block"),
    ],
)
def test_rounds_take_one_layer_each_and_the_plan_rebuilds_the_network(
    method: str, settings: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    chosen = Recipe((stage(method, Count(2), rounds=2, **settings),))
    result = compress(net(), TASK, chosen)
    assert [one.kept for one in result.rounds] == [True] * 2
    chosen_by = [[edit for edit in one.plan.layers if edit.action != "fold"] for one in result.rounds]
    assert [len(edits) for edits in chosen_by] == [1, 1]
    if kind != "Block":
        assert kinds(result.model)[1:-1].count(kind) == 2
        assert result.final.macs < result.original.macs
    names = [edits[0].name for edits in chosen_by]
    assert len(set(names)) == 2
    for one, name in zip(result.rounds, names, strict=True):
        gone = [scored.site for scored in one.scores if scored.removed]
        lowest = min(one.scores, key=lambda scored: scored.scores[0])
        assert gone == [lowest.site]
        assert lowest.site.startswith(name)
    path = tmp_path / "model.safetensors"
    storage.save(result.model, path, plan=result.plan)
    assert same_output(TASK, storage.load(path, build=net), result.model)
    assert to_json(from_json(to_json(result.plan))) == to_json(result.plan)


def test_a_run_goes_on_after_any_round_to_the_same_end() -> None:
    saved: list[Progress] = []
    chosen = Recipe((stage("linear_fit", Count(2), rounds=2), stage("magnitude", Share(0.3))))
    whole = compress(net(), TASK, chosen, on_round=saved.append)
    assert len(saved) == 3
    for start in saved:
        found = compress(net(), TASK, chosen, start=start)
        assert same_output(TASK, found.model, whole.model)
        assert to_json(found.plan) == to_json(whole.plan)
        assert [one.scores for one in found.rounds] == [one.scores for one in whole.rounds]


def test_a_round_that_loses_more_than_allowed_is_not_kept() -> None:
    result = compress(net(), TASK, Recipe((stage("linear_fit", Count(2), rounds=2),), max_drop=-200.0))
    assert [one.kept for one in result.rounds] == [False]
    assert same_output(TASK, result.model, net())
    assert result.plan.layers == ()


def test_recovery_trains_what_came_in() -> None:
    trained = stage("linear_fit", Count(1), recovery=Recovery(epochs=1), compensate="none")
    result = compress(net(), TASK, Recipe((trained,)))
    assert [len(one.epochs) for one in result.rounds] == [1]


@pytest.mark.parametrize("budget", [Below(-1.0), Share(0.1)])
def test_a_budget_that_comes_to_nothing_is_noted(budget: Budget) -> None:
    result = compress(net(), TASK, Recipe((stage("linear_fit", budget),)))
    assert result.rounds == ()
    assert any("removes nothing; raise the budget" in note for note in result.notes)
    assert same_output(TASK, result.model, net())


def test_a_later_round_that_finds_too_few_ends_the_run_and_keeps_what_was_done() -> None:
    result = compress(net(), TASK, Recipe((stage("linear_fit", Count(6), rounds=2),)))
    assert [one.kept for one in result.rounds] == [True]
    assert any(note.startswith("round 2: 3 layers are to go, but 1 can") for note in result.notes)
    with pytest.raises(BudgetError, match="9 layers are to go, but 4 can"):
        compress(net(), TASK, Recipe((stage("linear_fit", Count(9)),)))


def test_multiply_adds_that_are_left_are_no_more_than_allowed() -> None:
    before = find_layers(net(), TASK).macs
    result = compress(net(), TASK, Recipe((stage("linear_fit", Macs(0.6), fold=False),)))
    assert result.final.macs <= 0.6 * before < result.final.macs + 2 * 72 - 36


def test_protected_layers_stay_in_all_rounds() -> None:
    protected = stage("linear_fit", Count(3), rounds=3, protect=("2",))
    assert kinds(compress(net(), TASK, Recipe((protected,))).model)[2] == "Block"
    with pytest.raises(UnknownNameError, match="layer to protect"):
        compress(net(), TASK, Recipe((stage("linear_fit", Count(1), protect=("nowhere",)),)))


def test_a_result_is_read_back_and_reported(tmp_path: Path) -> None:
    result: Result[Any] = compress(net(), TASK, Recipe((stage("linear_fit", Count(2), rounds=2),)))
    text = result_to_json(result)
    back = result_of(text)
    assert result_to_json(back) == text
    report.write(text, tmp_path / "report.html")
    assert "linear_fit" in (tmp_path / "report.html").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_network_runs_in_onnx(tmp_path: Path) -> None:
    result = compress(net(), TASK, Recipe((stage("easier", Count(2), fold=False),)))
    export_onnx(result.model, tmp_path / "model.onnx", TASK)
    (x, _), *_ = TASK.train or ()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), result.model.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "chosen",
    [
        stage("linear_fit", Count(2), rounds=2),
        stage("linear_fit", Macs(0.5), become="drop", fold=False, compensate="none"),
        stage("easier", Share(0.5), become="identity", protect=("a.*",)),
    ],
)
def test_a_recipe_survives_a_file(chosen: Stage, tmp_path: Path) -> None:
    recipe = Recipe((chosen,))
    (tmp_path / "recipe.toml").write_text(written(to_dict(recipe)))
    found = read(tmp_path / "recipe.toml")
    assert found.stages[0].form == chosen.form
    assert found == Recipe((replace(chosen, become=chosen.form),))
    assert to_dict(found) == to_dict(recipe)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"method": "linear_fit", "become": "colapse"}, "form that a layer can become.*collapse"),
        ({"method": "magnitude", "become": "affine"}, "become is 'affine', but magnitude removes units"),
        ({"method": "linear_fit", "compensate": "mean"}, "linear_fit removes layers: compensate is 'mean'"),
        ({"method": "linear_fit", "one_by_one": True}, "one_by_one and multiple_of are for units"),
        ({"method": "linear_fit", "multiple_of": 8}, "one_by_one and multiple_of are for units"),
        ({"method": "linear_fit", "fold": "no"}, "fold is 'no'; give true or false"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        from_dict({"stage": data})


def test_what_layers_become_by_default_follows_from_the_method() -> None:
    wanted = {"linear_fit": "collapse", "block_influence": "drop", "easier": "affine", "tlc": "affine"}
    assert {name: Stage(get(name)).form for name in wanted} == wanted
