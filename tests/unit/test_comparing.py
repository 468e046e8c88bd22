"""Comparing methods: what is tried, what becomes of it, and what is kept of it."""

import math
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import secateur as sc
from own_methods import FILE
from secateur import comparing, methods
from secateur.budget import Count, Macs, Params, Share
from secateur.comparing import Grid, Subject, Tried, subject_of, timing, try_cell, whole
from secateur.comparison import Cell
from secateur.errors import DataError, SettingsError
from secateur.recipe import from_dict

pytestmark = pytest.mark.usefixtures("quick")


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 2))


def task(rows: int = 60) -> sc.Task:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows, 5, generator=generator)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long()
    parts = [
        list(zip(i.split(8), t.split(8), strict=True)) for i, t in zip(inputs.chunk(3), labels.chunk(3), strict=True)
    ]
    return sc.Task.classification(train=parts[0], validation=parts[1], test=parts[2])


def cells(*names: str, **settings: object) -> tuple[Cell, ...]:
    return Grid(names, (Macs(0.5),), **settings).cells  # type: ignore[arg-type]


def test_only_what_is_random_is_tried_with_several_seeds() -> None:
    found = cells("magnitude", "chance", recover=(0, 1), seeds=2)

    assert [(cell.method, cell.epochs, cell.seed) for cell in found] == [
        *(("magnitude", 0, None), ("magnitude", 1, 0), ("magnitude", 1, 1)),
        *(("chance", 0, 0), ("chance", 0, 1), ("chance", 1, 0), ("chance", 1, 1)),
    ]
    drawn = from_dict(found[4].recipe).stages[0]
    assert drawn.method == methods.get("chance", seed=1) and drawn.recovery is None
    trained = from_dict(found[6].recipe).stages[0].recovery
    assert trained is not None and trained.seed == 1 and trained.epochs == 1


def test_a_grid_is_every_combination_of_its_lists() -> None:
    grid = Grid(("dense", "magnitude"), (Macs(0.5), Params(300), Share(0.2, "model"), Count(2)), ("none", "mean"))

    assert len(grid.cells) == len({str(cell.recipe) for cell in grid.cells}) == 16
    assert list(dict.fromkeys(cell.budget for cell in grid.cells)) == [
        *("50 % MACs left", "300 parameters left"),
        *("20 % of all units removed, anywhere", "2 units of every site removed"),
    ]


def test_settings_of_a_method_are_part_of_its_name() -> None:
    grid = Grid((methods.get("magnitude", p=1), "magnitude"), (Macs(0.5),))

    assert [cell.method for cell in grid.cells] == ["magnitude (p=1)", "magnitude"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"methods": ()}, "methods: none are given"),
        ({"methods": ("dense", "dense")}, "methods: dense is given twice"),
        ({"budgets": (Macs(0.5), Macs(0.5))}, "budgets: .* is given twice"),
        ({"recover": (1, 1)}, "recover: 1 is given twice"),
        ({"recover": (-1,)}, "epochs: -1"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_a_grid_without_sense_is_refused(change: dict[str, object], part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        Grid(**{"methods": ("dense",), "budgets": (Macs(0.5),), **change})  # type: ignore[arg-type]


def test_a_method_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean magnitude"):
        _ = cells("magnitud")


def test_a_cell_gives_what_compress_gives() -> None:
    model, data = network(), task()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (cell,) = cells("magnitude", compensate=("least_squares",), recover=(2,), seeds=1)

    tried = try_cell(subject_of(model, data), cell)
    wanted = sc.compress(model, data, from_dict(cell.recipe))

    final = replace(wanted.final, latency=())
    assert tried.trial.final == final
    assert [step.name for step in tried.trial.steps] == ["cut", "compensated", "recovered"]
    assert tried.trial.widths == wanted.widths
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_layers_that_are_merged_are_measured_as_merged() -> None:
    model, data = network(), task()
    cell, *_ = Grid(("easier",), (Count(1),), ("none",)).cells

    tried = try_cell(subject_of(model, data), cell)

    assert tried.trial.failure == ""
    wanted = sc.compress(model, data, from_dict(cell.recipe)).final
    assert (tried.trial.final.macs, tried.trial.final.parameters) == (wanted.macs, wanted.parameters)
    assert tried.trial.final.macs < 0.9 * subject_of(model, data).untouched.macs


def test_a_cell_does_not_depend_on_what_was_done_before_it() -> None:
    subject = subject_of(network(), task())
    (cell,) = cells("dense", recover=(1,), seeds=1)

    first = try_cell(subject, cell).trial
    torch.rand(7)
    try_cell(subject, cells("chance")[1])
    again = try_cell(subject, cell).trial

    assert again.final == first.final


def test_what_fails_says_why_and_nothing_else_is_lost() -> None:
    grid = Grid(("bn_scale", "magnitude", "easier"), (Macs(0.6), Macs(1)), ("none", "mean"))

    found = comparing.compare(network(), task(), grid)

    failures = {(one.cell.method, one.cell.budget, one.cell.compensate): one.failure for one in found.trials}
    assert "no norm scales its 12 units" in failures["bn_scale", "60 % MACs left", "none"]
    assert "compensate is 'mean'" in failures["easier", "60 % MACs left", "mean"]
    assert failures["magnitude", "60 % MACs left", "none"] == ""
    assert all(why for (_, budget, _), why in failures.items() if budget == "1 MACs left")
    easy, hard = found.rankings
    assert [one.method for one in easy.standings if one.quality] == ["magnitude", "magnitude"]
    assert hard.verdict == "none of them finished"


def test_a_quality_that_is_no_number_is_a_failure() -> None:
    data = task()
    spoilt = replace(data, quality=lambda _: {"accuracy": math.nan})
    subject = replace(subject_of(network(), data), task=spoilt)

    assert "is not a finite number" in try_cell(subject, cells("magnitude")[0]).trial.failure


def test_an_error_of_somebody_else_is_a_reason_that_may_not_last() -> None:
    data = task()

    def broken(_: torch.Tensor) -> dict[str, float]:
        raise RuntimeError("out of memory\nin detail")

    subject = replace(subject_of(network(), data), task=replace(data, quality=broken))
    tried = try_cell(subject, cells("magnitude")[0])

    assert tried.trial.failure == "RuntimeError: out of memory" and not tried.is_final


def test_a_budget_that_removes_nothing_cannot_win() -> None:
    subject = subject_of(network(), task())
    (cell,) = Grid(("magnitude",), (Share(0.01),)).cells

    assert "removes nothing" in try_cell(subject, cell).trial.failure


def test_a_budget_that_a_later_round_cannot_meet_is_not_met() -> None:
    (cell,) = Grid(("magnitude",), (Macs(0.02),), stage=sc.Stage(rounds=2)).cells

    failure = try_cell(subject_of(network(), task()), cell).trial.failure

    assert failure.startswith("round 2: ")


def test_without_data_to_judge_on_nothing_is_compared() -> None:
    with pytest.raises(DataError, match="neither validation nor test data"):
        subject_of(network(), replace(task(), validation=None, test=None))


def test_without_validation_data_the_test_data_decides() -> None:
    found = comparing.compare(network(), replace(task(), validation=None), Grid(("magnitude",), (Macs(0.5),)))

    assert found.decisive == "test_accuracy"
    assert list(found.rankings[0].standings[0].quality) == ["test_accuracy"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The cells that are tried."""
    real, found = whole.try_cell, []
    monkeypatch.setattr(
        whole, "try_cell", lambda subject, cell, **more: found.append(cell) or real(subject, cell, **more)
    )
    return found


def test_in_a_folder_nothing_is_tried_twice(tmp_path: Path, asked: list[Cell]) -> None:
    model, data, place = network(), task(), tmp_path / "kept"
    grid = Grid(("magnitude", "chance"), (Macs(0.5),), seeds=2)

    first = comparing.compare(model, data, grid, folder=place)
    again = comparing.compare(model, data, grid, folder=str(place))
    assert len(asked) == 3 and again.trials == first.trials

    comparing.compare(model, data, replace(grid, budgets=(Macs(0.5), Macs(0.4))), folder=place)
    assert {cell.budget for cell in asked[3:]} == {"40 % MACs left"} and len(asked) == 6


def test_what_was_finished_before_a_kill_is_kept(
    tmp_path: Path, asked: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid(("magnitude", "dense", "chance"), (Macs(0.5),), seeds=1)
    real = whole.try_cell

    def killed(subject: Subject, cell: Cell, **more: object) -> Tried:
        if len(asked) == 2:
            raise SystemExit
        return real(subject, cell, **more)

    with monkeypatch.context() as patch:
        patch.setattr(whole, "try_cell", killed)
        with pytest.raises(SystemExit):
            comparing.compare(network(), task(), grid, folder=tmp_path)
    found = comparing.compare(network(), task(), grid, folder=tmp_path)

    assert [cell.method for cell in asked] == [trial.cell.method for trial in found.trials]


def test_a_folder_of_another_network_or_other_data_is_refused(tmp_path: Path) -> None:
    grid = Grid(("magnitude",), (Macs(0.5),))
    comparing.compare(network(), task(), grid, folder=tmp_path)
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0] += 1.0

    with pytest.raises(SettingsError, match="holds another comparison, with weights"):
        comparing.compare(other, task(), grid, folder=tmp_path)
    with pytest.raises(SettingsError, match="holds another comparison, with accuracy"):
        comparing.compare(network(), task(90), grid, folder=tmp_path)


def test_cells_of_a_method_are_kept_as_long_as_its_file_stays(tmp_path: Path, asked: list[Cell]) -> None:
    path = tmp_path / "norms.py"

    def tried(text: str) -> int:
        path.write_text(text)
        method = methods.get(f"{path}:Norms")
        comparing.compare(network(), task(), Grid((method,), (Macs(0.5),)), folder=tmp_path / "kept")
        return len(asked)

    assert [tried(text) for text in (FILE, FILE, FILE + "\n")] == [1, 1, 2]


def test_cells_of_a_method_that_no_file_defines_are_not_kept(tmp_path: Path, asked: list[Cell]) -> None:
    known: dict[str, Any] = {"__name__": "of_a_notebook"}
    sys.modules["of_a_notebook"] = types.ModuleType("of_a_notebook")  # where dataclasses look
    exec(FILE, known)
    grid = Grid((known["Norms"](), "magnitude"), (Macs(0.5),))

    for _ in range(2):
        comparing.compare(network(), task(), grid, folder=tmp_path)
    del sys.modules["of_a_notebook"]

    assert [cell.method for cell in asked] == ["norms", "magnitude", "norms"]


def test_networks_of_one_shape_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = timing.compare_latency, []
    monkeypatch.setattr(timing, "compare_latency", lambda *given: calls.append(1) or real(*given))

    found = comparing.compare(network(), task(), Grid(("magnitude",), (Macs(0.5),), recover=(0, 1), seeds=2))

    assert len(found.trials) == 3 and len(calls) == len(timing.BATCH_SIZES)
    assert all(len(trial.timings) == len(timing.BATCH_SIZES) for trial in found.trials)
