"""The whole line: what comes out of it, and what its result tells."""

import json
import time
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from footprint import untouched
from pipelines import assert_same_tensors, net, ran, recipe, task_of, widths
from secateur.budget import Below, Budget, Count, Macs, Params, Share
from secateur.compensation import repair
from secateur.measurement import latency, measure
from secateur.pipeline import compress
from secateur.plan import from_json, to_json
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery
from secateur.result import to_json as result_to_json
from secateur.surgery import apply
from secateur.width import tensors_of

pytestmark = pytest.mark.usefixtures("unmeasured")


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_the_plan_of_all_rounds_applied_to_the_original_gives_the_network(rounds: int, one_by_one: bool) -> None:
    model = net()
    result = compress(model, task_of(), recipe(Share(0.6), rounds=rounds, one_by_one=one_by_one))
    assert_same_tensors(apply(model, result.plan), result.model)
    assert_same_tensors(apply(model, from_json(to_json(result.plan))), result.model)
    assert widths(result) == {"0": result.model[0].out_features, "2": result.model[2].out_features}
    assert len(result.rounds) == rounds
    for name, (before, after) in result.widths.items():
        assert before - after == len(result.plan.removed[name])


@pytest.mark.parametrize("compensate", ["mean", "reconstruct"])
def test_the_plan_knows_of_the_biases_that_were_gained(compensate: str) -> None:
    model = net(bias=False)
    result = compress(model, task_of(), recipe(Share(0.6), rounds=2, compensate=compensate))
    shapes = {name: tensor.shape for name, tensor in tensors_of(apply(model, result.plan)).items()}
    assert shapes == {name: tensor.shape for name, tensor in tensors_of(result.model).items()}
    assert result.plan.biased


def test_the_given_model_is_never_touched() -> None:
    model = net().train()
    model[3].eval()
    task = task_of(test=True)
    training = Recovery(epochs=1)
    with untouched(model):
        result = compress(model, task, recipe(Share(0.5), recovery=training, compensate="mean", from_scratch=training))
    assert result.model is not model
    assert [module.training for module in result.model.modules()] == [module.training for module in model.modules()]


def test_the_same_run_gives_the_same_network() -> None:
    chosen = recipe(Share(0.5), rounds=2, recovery=Recovery(epochs=1), compensate="reconstruct")
    first, second = (compress(net(), task_of(), chosen) for _ in range(2))
    assert_same_tensors(first.model, second.model)
    assert replace(first.plan, certificate=None) == replace(second.plan, certificate=None)


@pytest.mark.usefixtures("thorough")
def test_steps_tell_what_each_did() -> None:
    chosen = recipe(Share(0.5), rounds=2, recovery=Recovery(epochs=2), compensate="reconstruct")
    result = compress(net(), task_of(test=True), chosen)
    names = ["original", *2 * ["cut", "compensated", "recovered"]]
    assert [(step.name, step.round) for step in result.steps] == list(zip(names, [0, 1, 1, 1, 2, 2, 2], strict=True))
    assert result.original.quality["accuracy"] == 100.0
    assert result.final.parameters == sum(parameter.numel() for parameter in result.model.parameters())
    assert [len(round_.epochs) for round_ in result.rounds] == [2, 2]
    assert all(round_.folds for round_ in result.rounds)
    wanted = measure(result.model, task_of(), latency=False)
    assert (result.final.macs, result.final.quality["accuracy"]) == (wanted.macs, wanted.quality["accuracy"])
    assert result.original.latency
    assert result.final.latency


@pytest.mark.usefixtures("thorough")
def test_a_machine_that_slows_down_makes_no_network_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(1)
    monkeypatch.setattr(latency, "milliseconds", lambda _: float(next(clock)))

    result = compress(net(), task_of(), recipe(Share(0.5), compensate="none"))

    assert [one.batch_size for one in result.final.latency] == [1, 32]
    for before, after in zip(result.original.latency, result.final.latency, strict=True):
        assert after.median_ms == pytest.approx(before.median_ms, rel=0.2)


def test_the_time_of_a_cut_leaves_out_its_compensation(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*given: Any, **settings: Any) -> Any:
        time.sleep(1.0)
        return repair(*given, **settings)

    monkeypatch.setattr("secateur.pipeline.cuts.repair", slow)
    _, cut, compensated = compress(net(), task_of(), recipe(Share(0.5), compensate="mean")).steps
    assert compensated.seconds - cut.seconds >= 1.0


def test_a_run_that_removes_nothing_is_timed_once() -> None:
    result = compress(net(), task_of(), recipe(Share(0.01), compensate="none"))
    assert len(result.steps) == 1
    assert [one.batch_size for one in result.original.latency] == [1, 32]


def test_the_test_data_is_looked_at_for_the_first_and_the_last_network_only() -> None:
    result = ran(recipe(Share(0.5), rounds=2), test=True)
    assert ["test_accuracy" in step.measurement.quality for step in result.steps] == [True, False, True]
    assert "test_accuracy" not in ran(recipe(Share(0.5))).final.quality


def test_every_round_carries_its_proof_and_its_reasons() -> None:
    result = compress(net(), task_of(), recipe(Share(0.5), rounds=2, compensate="mean"))
    for round_ in result.rounds:
        certificate = round_.plan.certificate
        assert certificate is not None
        assert certificate.relative_difference <= certificate.tolerance
        assert {edit.site for edit in round_.plan.edits} == {"0", "2"}
        for scores in round_.scores:
            edit = next(edit for edit in round_.plan.edits if edit.site == scores.site)
            assert set(scores.removed) == {removal.unit for removal in edit.removed}
            assert all(scores.scores[removal.unit] == removal.score for removal in edit.removed)
            assert scores.threshold == edit.threshold == max(removal.score for removal in edit.removed)
            left = [score for unit, score in enumerate(scores.scores) if unit not in scores.removed]
            assert min(left) >= edit.threshold


def test_the_result_is_valid_json() -> None:
    chosen = recipe(Share(0.5), rounds=2, recovery=Recovery(epochs=1), compensate="mean", max_drop=90.0)
    result = compress(net(bias=False), task_of(test=True), chosen)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    data = json.loads(result_to_json(result), parse_constant=refuse)
    assert data["format"] == 1
    assert data["widths"] == {"0": [10, 5], "2": [8, 4]}
    assert data["settings"]["stage"][0]["method"] == "dense"
    assert data["versions"].keys() >= {"python", "torch", "secateur"}
    assert "model" not in data


def test_what_stays_is_told_with_its_reason() -> None:
    result = ran(recipe(Share(0.5)))
    assert result.pinned == (("5", 3, "output: the network's output"),)
    assert (result.method, result.metric) == ("dense", "accuracy")


@pytest.mark.usefixtures("thorough")
@pytest.mark.parametrize(
    "budget", [Share(0.4, "model"), Count(2), Count({"0": 3}), Below(0.3, relative=True), Params(0.5), Macs(90)]
)
def test_every_budget_works_in_the_line(budget: Budget) -> None:
    model = net()
    result = compress(model, task_of(), recipe(budget))
    assert_same_tensors(apply(model, result.plan), result.model)
    match budget:
        case Params():
            assert result.final.parameters <= 0.5 * result.original.parameters
        case Macs():
            assert result.final.macs <= 90
        case Count(2):
            assert widths(result) == {"0": 8, "2": 6}
        case Count():
            assert widths(result) == {"0": 7, "2": 8}
        case Share():
            assert sum(widths(result).values()) == 11  # 7.2 of 18 units go


# --- the control ------------------------------------------------------------------------------------------------------


def test_a_bias_that_compensation_adds_is_said() -> None:
    task = task_of()
    result = compress(net(bias=False), task, Recipe((Stage(budget=Share(0.5), recovery=None),)))
    gained = result.plan.biased
    assert bool(gained) == any("a bias" in note for note in result.notes)
    assert gained
