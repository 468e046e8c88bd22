"""The whole line: rounds and stages, what is kept, what is said."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur import methods
from secateur.budget import Below, Budget, Count, Macs, Params, Share
from secateur.compensation import repair
from secateur.errors import BudgetError, DataError, ModelError, UnknownNameError
from secateur.finding import find_sites
from secateur.inference import evaluating
from secateur.measurement import latency, measure
from secateur.pipeline import Place, Progress, compress, reinitialised
from secateur.plan import from_json, to_json
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery
from secateur.result import Event, Measurement, Result
from secateur.result import to_json as result_to_json
from secateur.staging import recipe_of
from secateur.surgery import apply
from secateur.task import Task
from secateur.width import resize_, tensors_of

DENSE = methods.get("dense")
MAGNITUDE = methods.get("magnitude")


def rows(*shape: int, seed: int = 20) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def measure_with(function: Callable[..., Measurement], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("loops", "rounds", "outcome", "control"):
        monkeypatch.setattr(f"secateur.pipeline.{module}.measure", function)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured but quality and parameters: the rest takes most of the time, and is tested elsewhere."""

    def measured(model: nn.Module, task: Task, **_: object) -> Measurement:
        with evaluating(model) as predict:
            quality = task.evaluate("validation", predict) if task.validation else {}
        return Measurement(sum(parameter.numel() for parameter in model.parameters()), 0, 0, quality=quality)

    measure_with(measured, monkeypatch)
    monkeypatch.setattr(latency, "_SECONDS", 0.0)
    monkeypatch.setattr(latency, "milliseconds", lambda _: 1.0)


@pytest.fixture
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is measured, latency for a moment only."""
    measure_with(measure, monkeypatch)
    monkeypatch.setattr(latency, "_SECONDS", 0.001)


def net(*, bias: bool = True) -> nn.Sequential:
    """A network that names each of its three classes about equally often."""
    torch.manual_seed(3)
    hidden = nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 8, bias=bias), nn.BatchNorm1d(8), nn.ReLU()
    model = nn.Sequential(*hidden, nn.Linear(8, 3, bias=bias))
    if bias:
        with evaluating(model) as predict:
            model[5].bias -= predict(((rows(90, 4),), {})).mean(0)
    return model


def task_of(model: nn.Module | None = None, *, test: bool = False, validation: bool = True) -> Task:
    """Labels are what a network says, so that quality starts at 100."""
    x = rows(90, 4)
    with torch.no_grad():
        y = (model or net()).eval()(x).argmax(1)
    batches = list(zip(x.split(30), y.split(30), strict=True))
    splits: dict[str, Any] = {"train": batches}
    if validation:
        splits["validation"] = batches[:2]
    if test:
        splits["test"] = batches[2:]
    return Task.classification(**splits)


def recipe(budget: Budget, **settings: Any) -> Recipe:
    """One stage without training."""
    outer = {name: settings.pop(name) for name in ("max_drop", "from_scratch") if name in settings}
    return Recipe((Stage(budget=budget, **{"recovery": None, "compensate": "none", **settings}),), **outer)


@cache
def ran(chosen: Recipe, *, test: bool = False) -> Result[nn.Module]:
    """A run that several tests look at; nothing but quality and parameters is measured."""
    return compress(net(), task_of(test=test), chosen)


def widths(result: Result[nn.Module]) -> dict[str, int]:
    return {name: after for name, (_, after) in result.widths.items()}


def assert_same_tensors(found: nn.Module, wanted: nn.Module) -> None:
    assert tensors_of(found).keys() == tensors_of(wanted).keys()
    assert [name for name, t in tensors_of(wanted).items() if not torch.equal(tensors_of(found)[name], t)] == []


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
        time.sleep(3.0)
        return repair(*given, **settings)

    monkeypatch.setattr("secateur.pipeline.cuts.repair", slow)
    _, cut, compensated = compress(net(), task_of(), recipe(Share(0.5), compensate="mean")).steps
    assert compensated.seconds - cut.seconds >= 3.0


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


# --- recipes ----------------------------------------------------------------------------------------------------------


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


# --- how much may be lost ---------------------------------------------------------------------------------------------


def qualities(result: Result[nn.Module]) -> list[float]:
    return [step.measurement.quality["accuracy"] for step in result.steps]


def test_the_last_network_that_holds_the_allowed_drop_is_kept() -> None:
    free = compress(net(), task_of(), recipe(Share(0.9), rounds=4))
    losses = [100.0 - quality for quality in qualities(free)]
    allowed = losses[1]
    fails = next(number for number, loss in enumerate(losses) if loss > allowed)
    result = compress(net(), task_of(), recipe(Share(0.9), rounds=4, max_drop=allowed))
    assert [round_.kept for round_ in result.rounds] == [True] * (fails - 1) + [False]
    assert qualities(result) == qualities(free)[:fails]
    assert widths(result) == {"0": result.model[0].out_features, "2": result.model[2].out_features}
    assert_same_tensors(apply(net(), result.plan), result.model)
    reason = f"validation accuracy fell by {losses[fails]:.2f} points; {allowed:g} are allowed"
    assert result.rounds[-1].reason == reason
    assert result.notes == (f"round {fails} was not kept: {reason}.",)


def test_where_no_round_holds_the_original_is_what_remains() -> None:
    model = net()
    result = compress(model, task_of(), recipe(Share(0.9), max_drop=0.5))
    assert_same_tensors(result.model, model)
    assert widths(result) == {"0": 10, "2": 8}
    assert (len(result.steps), [round_.kept for round_ in result.rounds]) == (1, [False])
    assert result.plan.cuts == ()


def test_a_drop_without_validation_data_is_refused() -> None:
    with pytest.raises(DataError, match=r"max_drop=1 .* validation"):
        compress(net(), task_of(validation=False), recipe(Share(0.5), max_drop=1.0))
    assert compress(net(), task_of(validation=False), recipe(Share(0.5))).final.quality == {}


def test_a_quality_that_is_not_a_number_never_holds() -> None:
    base = task_of()
    model = net()
    before = torch.cat([model.eval()(x) for x, _ in base.validation]).detach()

    def sums(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.no_grad():
            return (output - model(batch[0])).abs().sum().double()[None]

    task = replace(base, metric="same", sums=sums, quality=lambda total: {"same": math.nan if total > 1e-3 else 100.0})
    result = compress(model, task, recipe(Share(0.5), max_drop=1e9))
    assert [round_.kept for round_ in result.rounds] == [False]
    assert len(before) == 60


# --- on the way -------------------------------------------------------------------------------------------------------


def test_every_kept_round_is_handed_over_once_with_its_network() -> None:
    heard: list[tuple[int, int]] = []

    def hear(progress: Progress) -> None:
        heard.append((progress.rounds[-1].number, progress.model[0].out_features))

    stages = (
        Stage(DENSE, Count(2), recovery=None),
        Stage(DENSE, Below(-1.0), recovery=None),
        Stage(DENSE, Count(1), recovery=None),
    )
    compress(net(), task_of(), Recipe(stages), on_round=hear)
    assert heard == [(1, 8), (2, 7)]
    heard.clear()
    compress(net(), task_of(), recipe(Share(0.9), max_drop=0.5), on_round=hear)
    assert heard == []


def test_from_every_kept_round_on_a_run_goes_on_to_the_same_end() -> None:
    chosen = Recipe(
        (
            Stage(DENSE, Share(0.4), rounds=3, recovery=Recovery(epochs=1)),
            Stage(DENSE, Below(-1.0), recovery=None),
            Stage(MAGNITUDE, Count(2), rounds=2, recovery=None),
        )
    )
    saved: list[Progress] = []
    whole = compress(net(), task_of(), chosen, on_round=saved.append)
    assert [progress.place for progress in saved] == [
        Place(0, 1, 1),
        Place(0, 2, 2),
        Place(0, 3, 3),
        Place(2, 1, 1),
        Place(2, 2, 2),
    ]
    for start in saved:
        found = compress(net(), task_of(), chosen, start=start)
        assert_same_tensors(found.model, whole.model)
        assert found.plan == whole.plan
        assert found.rounds == whole.rounds
        assert found.notes == whole.notes
        assert [replace(step, seconds=0.0) for step in found.steps] == [
            replace(step, seconds=0.0) for step in whole.steps
        ]
        assert found.model is not start.model


def test_progress_is_told() -> None:
    heard: list[Event] = []
    compress(net(), task_of(), recipe(Share(0.5), recovery=Recovery(epochs=2)), watch=heard.append)
    assert [event.done for event in heard if event.doing == "recover"] == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_recovery_ends_the_run_with_what_is_finished() -> None:
    def interrupt(event: Event) -> None:
        if event.doing == "recover" and event.done == 4:
            raise KeyboardInterrupt

    result = compress(net(), task_of(), recipe(Share(0.5), rounds=2, recovery=Recovery(epochs=3)), watch=interrupt)
    assert len(result.rounds) == 1
    assert result.notes == ("round 1: interrupted after epoch 1 of recovery; the best is kept.",)
    assert [step.name for step in result.steps] == ["original", "cut", "recovered"]


@pytest.mark.parametrize(("distil", "teacher"), [(True, True), (False, False)])
def test_the_original_teaches_where_it_is_asked_to(distil: bool, teacher: bool) -> None:
    x = rows(60, 4)
    unlabelled = Task.classification(train=[(x, torch.full((60,), 2))], calibration=[(x, torch.full((60,), 2))])
    training = Recovery(epochs=60, learning_rate=0.02, teacher_weight=1.0)
    model = net().eval()
    result = compress(model, unlabelled, recipe(Share(0.3), recovery=training, distil=distil))
    with torch.no_grad():
        agreement = (result.model.eval()(x).argmax(1) == model(x).argmax(1)).float().mean()
        labelled = (result.model(x).argmax(1) == 2).float().mean()
    assert (agreement > 0.9, labelled > 0.99) == (teacher, not teacher)


# --- the control ------------------------------------------------------------------------------------------------------


def test_the_same_shape_is_trained_from_scratch_beside() -> None:
    result = compress(net(), task_of(test=True), recipe(Share(0.5), from_scratch=Recovery(epochs=1)))
    (control,) = result.controls
    assert (control.name, control.measurement.parameters) == ("from_scratch", result.final.parameters)
    assert "test_accuracy" in control.measurement.quality
    assert result.notes == ()
    assert ran(recipe(Share(0.5))).controls == ()


def test_random_weights_follow_the_seed_and_leave_the_random_state() -> None:
    model = net()
    with untouched(model):
        first, again, other = (reinitialised(model, seed) for seed in (1, 1, 2))
    assert_same_tensors(first, again)
    for name, parameter in first.named_parameters():
        if "3." not in name:  # a batch norm starts with ones and zeros
            assert not torch.equal(parameter, dict(model.named_parameters())[name])
            assert not torch.equal(parameter, dict(other.named_parameters())[name])


def test_layers_that_lost_everything_start_anew_too() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    resize_(model, {"0.weight": (0, 4), "0.bias": (0,), "1.weight": (3, 0)})
    with torch.no_grad():
        model[1].bias.fill_(7.0)
    assert not bool((reinitialised(model, 0)[1].bias == 7.0).any())


def test_weights_that_cannot_start_anew_are_named() -> None:
    class Scaled(nn.Module):
        def __init__(self, inner: Callable[[], nn.Module]) -> None:
            super().__init__()
            self.inner, self.scale = inner(), nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * self.scale

    result = compress(Scaled(net), task_of(), recipe(Share(0.5), from_scratch=Recovery(epochs=1)))
    assert result.notes == ("from_scratch: scale started as trained: their modules have no reset_parameters.",)


def test_a_bias_that_compensation_adds_is_said() -> None:
    task = task_of()
    result = compress(net(bias=False), task, Recipe((Stage(budget=Share(0.5), recovery=None),)))
    gained = result.plan.biased
    assert bool(gained) == any("a bias" in note for note in result.notes)
    assert gained
