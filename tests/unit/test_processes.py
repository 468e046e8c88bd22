"""Several processes find what one does: the same scores, plans and networks, and end together."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import several_works as works
from commands import MINE
from secateur import sources, storage
from secateur.calibration import calibrate
from secateur.finding import find_sites
from secateur.homology import Cloud
from secateur.processes import ALONE, Processes
from secateur.recovery.parts import part_of
from secateur.scores import Gates
from secateur.task import Task
from several import in_processes

CLOSE = {"rtol": 1e-5, "atol": 2e-6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("several")
    (path / "mine.py").write_text(MINE)
    return path


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes finds."""
    return in_processes(works.everything, folder, folder)


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_scores_of_two_processes_are_those_of_one(two: list[dict[str, Any]]) -> None:
    one = works.scored()
    for method, wanted in one.items():
        assert_close(two[0]["scored"][method], wanted)
        assert_equal(two[1]["scored"][method], two[0]["scored"][method])
    for method in ("chance", "easier", "hrank", "magnitude", "obce", "quality"):
        assert_equal(two[0]["scored"][method], one[method])


def test_networks_trained_in_two_processes_are_those_of_one(two: list[dict[str, Any]]) -> None:
    for name, (tensors, epochs, best) in works.all_trained().items():
        for found, seen, kept in (process["trained"][name] for process in two):
            assert_close(found, tensors)
            assert [epoch.loss for epoch in seen] == pytest.approx([epoch.loss for epoch in epochs], rel=1e-5)
            assert [epoch.quality for epoch in seen] == [epoch.quality for epoch in epochs]
            assert (len(seen), kept) == (len(epochs), best)
        assert_equal(two[1]["trained"][name][0], two[0]["trained"][name][0])


def test_runs_of_two_processes_cut_the_units_that_one_cuts_and_end_with_its_network(two: list[dict[str, Any]]) -> None:
    for name, wanted in works.all_compressed().items():
        for process in two:
            found = process["compressed"][name]
            assert_same_plan(json.loads(found["plan"]), json.loads(wanted["plan"]))
            assert_close(found["tensors"], wanted["tensors"])
            assert found["quality"] == wanted["quality"]
            assert [fold.used for fold in found["folds"]] == [fold.used for fold in wanted["folds"]]
            assert found["latency"] == two[0]["compressed"][name]["latency"]
        assert two[0]["compressed"][name]["told"] == wanted["told"]
        assert two[1]["compressed"][name]["told"] == 0


def assert_same_plan(found: Any, wanted: Any) -> None:
    """Both change the same, for scores that are the same up to rounding."""
    match wanted:
        case dict():
            assert found.keys() == wanted.keys()
            for name in wanted.keys() - {"certificate"}:
                assert_same_plan(found[name], wanted[name])
        case list():
            assert len(found) == len(wanted)
            for ours, theirs in zip(found, wanted, strict=True):
                assert_same_plan(ours, theirs)
        case float():
            assert found == pytest.approx(wanted, rel=1e-4, nan_ok=True)
        case _:
            assert found == wanted


def test_what_one_process_refuses_all_refuse_and_differing_models_or_data_are_refused(
    two: list[dict[str, Any]],
) -> None:
    here, there = (process["refused"] for process in two)
    assert here[:2] == ["BudgetError: process 1 of 2: it cannot be met."] * 2
    assert there[:2] == ["BudgetError: it cannot be met."] * 2
    assert here[2:] == there[2:]
    assert here[2].startswith(
        "SettingsError: the model (Sequential) is not the same in all 2 processes: 1 differ from 0"
    )
    assert here[3].startswith("SettingsError: the calibration data is not the same in all 2 processes")
    assert here[4].startswith("DataError: train: its loader gives every process other rows")


def test_ctrl_c_at_one_process_ends_all_with_the_same_epochs(two: list[dict[str, Any]]) -> None:
    (was, epochs, tensors), other = (process["interrupted"] for process in two)
    assert (was, epochs) == (True, 1)
    assert other[:2] == (True, 1)
    assert_equal(other[2], tensors)


def test_only_the_main_process_prints_and_writes_and_a_run_goes_on(two: list[dict[str, Any]], folder: Path) -> None:
    whole, stopped, resumed, recovered, single = two[0]["commanded"]
    assert [outcome[0] for outcome in two[0]["commanded"]] == [0, 130, 0, 0, 1]
    assert [outcome[0] for outcome in two[1]["commanded"]] == [0, 130, 0, 0, 1]
    assert [outcome[1:] for outcome in two[1]["commanded"]] == [("", "")] * 5
    assert json.loads(whole[1])["rounds"]
    assert "finished so far" in stopped[2]
    assert "going on after round 1" in resumed[2]
    assert "trained.safetensors" in recovered[1]
    assert "measure works in one process, and 2 were launched" in single[2]
    names = {path.name for path in (folder / "whole").iterdir()}
    assert names >= {"model.safetensors", "plan.json", "result.json", "report.html", "round-1.safetensors"}
    assert {path.name for path in (folder / "again").iterdir()} == names
    assert (folder / "again/plan.json").read_text() == (folder / "whole/plan.json").read_text()


def test_a_run_of_two_processes_writes_the_network_of_one(
    two: list[dict[str, Any]], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert two
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    works.commanded(tmp_path)
    for name in ("whole", "again"):
        ours, theirs = (
            storage.load(place / name / "model.safetensors", build=lambda: sources.build("mine.py:build", 0, {}))
            for place in (folder, tmp_path)
        )
        assert_close(ours.state_dict(), theirs.state_dict())
        plans = [json.loads((place / name / "plan.json").read_text()) for place in (folder, tmp_path)]
        assert_same_plan(*plans)


def test_when_a_process_dies_the_others_end_with_an_error(folder: Path, tmp_path: Path) -> None:
    assert folder
    (found,) = in_processes(works.dying, tmp_path, ending=1)
    assert found.startswith("process 0 of 2: another one ended, or cannot be reached")


def test_parts_of_a_batch_are_the_batch_in_order() -> None:
    x = torch.arange(14.0).reshape(7, 2)
    batch = {"x": x, "names": list("abcdefg"), "both": (x[:, 0], torch.ones(3))}
    parts = [part_of(batch, ((x,), {}), Processes(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([part.batch["x"] for part in parts]), x)
    assert [name for part in parts for name in part.batch["names"]] == list("abcdefg")
    assert torch.equal(torch.cat([part.batch["both"][0] for part in parts]), x[:, 0])
    assert all(torch.equal(part.batch["both"][1], torch.ones(3)) for part in parts)
    assert [part.share for part in parts] == [2 / 7, 2 / 7, 3 / 7]
    few = part_of(batch, ((x,), {}), Processes(0, 8))
    assert few.is_whole and few.batch is batch and few.share == 1 / 8


def test_clouds_seen_in_turns_are_one_cloud_in_the_order_of_the_data() -> None:
    rows = torch.randn(7, 3, 2).split([2, 1, 0, 3, 1])
    whole, clouds = Cloud(), [Cloud(), Cloud()]
    for number, part in enumerate(rows):
        whole = whole.observe(part)
        clouds[number % 2] = clouds[number % 2].observe(part)
    assert torch.equal(Cloud.in_turns(clouds).points, whole.points)


def test_a_process_alone_exchanges_nothing() -> None:
    assert ALONE.each(lambda: 3) == [3]
    assert ALONE.from_main(lambda: 4) == 4
    assert list(ALONE.own("abc")) == ["a", "b", "c"]
    value = torch.ones(2)
    assert ALONE.summed([value])[0] is value


class _Labels:
    """Classes that know where they were moved to."""

    def __init__(self, classes: Tensor):
        self.classes = classes
        self.device: torch.device | None = None

    def to(self, device: torch.device, **_: Any) -> "_Labels":
        moved = _Labels(self.classes.to(device))
        moved.device = device
        return moved


def test_the_loss_finds_labels_on_the_device_of_the_model_when_slopes_are_watched() -> None:
    found: list[torch.device | None] = []

    def loss(output: Tensor, batch: Any) -> Tensor:
        found.append(batch[1].device)
        return torch.nn.functional.cross_entropy(output, batch[1].classes)

    model, images = works.network(), works.batches()[0]
    task = Task.of(
        metric="accuracy",
        loss=loss,
        sums=lambda *_: torch.zeros(1),
        quality=lambda _: {},
        distance=lambda *_: torch.zeros(()),
        calibration=[(images[0], _Labels(images[1]))],
    )
    calibrate(model, find_sites(model, task), task, Gates(torch.abs))
    assert found == [next(model.parameters()).device]
