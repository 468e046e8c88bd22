"""`secateur compress --resume`: a run that was ended from outside goes on to the same end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import commands
from commands import DATA, MINE, MODEL
from own_methods import FILE
from secateur import sources, storage
from secateur.cli import resuming, running
from secateur.cli.runfolder import RunFolder

RUN = (*MODEL, *DATA, "--remove", "60%", "--recover", 2, "--rounds", 3, "--train", 1, "--seed", 2)


pytestmark = pytest.mark.usefixtures("folder", "quickened")


def untimed(value: Any) -> Any:
    """A result without what the clock says."""
    if isinstance(value, dict):
        return {key: untimed(part) for key, part in value.items() if key not in ("seconds", "latency")}
    return [untimed(part) for part in value] if isinstance(value, list) else value


def assert_same_run(found: Path, wanted: Path) -> None:
    texts = [(path / "result.json").read_text() for path in (found, wanted)]
    results = [untimed(json.loads(text, parse_constant=str)) for text in texts]  # a NaN is equal to another then
    assert results[0] == results[1]
    assert {path.name for path in found.iterdir()} == {path.name for path in wanted.iterdir()}
    ours, theirs = (
        storage.load(path / "model.safetensors", build=lambda: sources.build("mine.py:build", 0, {})).state_dict()
        for path in (found, wanted)
    )
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert (found / "plan.json").read_text() == (wanted / "plan.json").read_text()


def stopped(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    """A run in `run` that ends as soon as so many rounds are written."""
    real = resuming.save

    def last(progress: Any, *arguments: Any) -> None:
        real(progress, *arguments)
        if len(progress.rounds) == rounds:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resuming, "save", last)
        assert commands.run("compress", *RUN, "--out", "run").exit_code == 130


@pytest.mark.skipif(sys.platform == "win32", reason="processes are ended otherwise there")
@pytest.mark.parametrize(
    "line",
    [("--remove", "60%", "--rounds", 3), ("--method", "tlc", "--count", 2, "--rounds", 2)],
    ids=["units", "layers"],
)
def test_after_a_kill_a_run_goes_on_to_the_same_end(line: tuple[object, ...]) -> None:
    options = ("compress", *MODEL, "--data", "mine.py:long", *line, "--recover", 1)
    commands.done(*options, "--out", "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur.cli", *map(str, options), "--out", "run"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(sources.__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not Path("run/progress.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not Path("run/model.safetensors").exists()
    commands.done(*options, "--out", "run", "--resume")
    assert_same_run(Path("run"), Path("whole"))


def test_from_every_round_on_a_run_goes_on_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    commands.done("compress", *RUN, "--out", "whole")
    for rounds in (1, 2, 3):
        stopped(monkeypatch, rounds)
        outcome = commands.run("compress", *RUN, "--out", "run", "--resume")
        assert outcome.exit_code == 0, outcome.stderr
        assert f"going on after round {rounds}" in outcome.stderr
        assert_same_run(Path("run"), Path("whole"))


def test_a_round_that_was_interrupted_is_done_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.pipeline import rounds

    commands.done("compress", *RUN, "--out", "whole")
    real, calls = rounds.train, []

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        return replace(real(*arguments, **settings), interrupted=len(calls) == 2)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "train", interrupted)
        patch.setattr(running, "noticing_interrupts", _pressed)
        assert commands.run("compress", *RUN, "--out", "run").exit_code == 130
    assert len(json.loads(Path("run/result.json").read_text())["rounds"]) == 2
    commands.done("compress", *RUN, "--out", "run", "--resume")
    assert_same_run(Path("run"), Path("whole"))


class _pressed:  # noqa: N801  # stands for a function
    """Says that Ctrl-C was pressed."""

    def __enter__(self) -> Callable[[], bool]:
        return lambda: True

    def __exit__(self, *_: object) -> None:
        pass


def test_another_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, 1)
    for change, part in (
        (("--remove", "70%"), "recipe.stage.0.share 0.6, this command 0.7"),
        (("--recover", 3), "recipe.stage.0.recover.epochs 2, this command 3"),
        (("--seed", 4), "recipe.stage.0.recover.seed 2, this command 4"),
        (("--batch-size", 32), "batch size 64, this command 32"),
        (("--data", "mine.py:unjudged"), "data mine.py:task, this command mine.py:unjudged"),
        (("--train", 2), "train 1, this command 2"),
    ):
        line = commands.refusal("compress", *RUN, *change, "--out", "run", "--resume")
        assert part in line
        assert "leave out --resume" in line


def test_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, 1)
    Path("mine.py").write_text(MINE.replace("(4, 12)", "(4, 14)").replace("Linear(12, 12)", "Linear(14, 12)"))
    assert "its run has weights" in commands.refusal("compress", *RUN, "--out", "run", "--resume")


def test_a_changed_file_of_a_method_of_ones_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("norms.py").write_text(FILE)
    method = ("--method", "norms.py:Norms")
    with monkeypatch.context() as patch:
        patch.setattr(resuming, "save", _ended(resuming.save))
        assert commands.run("compress", *RUN, *method, "--out", "run").exit_code == 130
    Path("norms.py").write_text(FILE.replace("norm(self.power", "norm(self.power + 1"))
    line = commands.refusal("compress", *RUN, *method, "--out", "run", "--resume")
    assert "norms.py with checksum" in line and "leave out --resume" in line


def _ended(real: Callable[..., None]) -> Callable[..., None]:
    """Writes the first round, and ends the run."""

    def last(*given: Any) -> None:
        real(*given)
        raise KeyboardInterrupt

    return last


def test_another_run_leaves_nothing_of_a_search_in_its_folder(tmp_path: Path) -> None:
    for name in ("study.journal", "search.json", "recipe.toml", "notes.txt"):
        (tmp_path / name).write_text("of before")
    RunFolder(tmp_path).begin("", keep=("study.journal",))
    assert {path.name for path in tmp_path.iterdir()} >= {"study.journal", "recipe.toml"}
    RunFolder(tmp_path).begin("")
    assert not {"study.journal", "search.json"} & {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "notes.txt").exists()


def test_what_is_damaged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch, 1)
    path, network = Path("run/progress.json"), Path("run/round-1.safetensors")
    text = path.read_text()
    for spoilt, part in (
        ("", "progress.json: the file is empty"),
        (text[:200], "progress.json: not JSON"),
        (text.replace('"number"', '"nummer"'), "progress.json: rounds[0]: 'number' is missing"),
        (text.replace('"place"', '"plaice"'), "progress.json: not what --resume needs"),
        (text.replace("round-1", "round-2"), "not the network of round 1"),
    ):
        path.write_text(spoilt)
        assert part in commands.refusal("compress", *RUN, "--out", "run", "--resume")
    path.write_text(text)
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    assert "not the network of round 1" in commands.refusal("compress", *RUN, "--out", "run", "--resume")
    network.unlink()
    assert "no such file" in commands.refusal("compress", *RUN, "--out", "run", "--resume")


def test_where_nothing_is_to_resume_it_says_so() -> None:
    options = ("compress", *RUN, "--out", "run", "--resume")
    assert "nothing to resume, since no round was finished" in commands.run(*options).stderr
    assert "its run is over" in commands.refusal(*options)
