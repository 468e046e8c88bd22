"""`secateur compress` and the folder that it leaves."""

import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch

import commands
from commands import DATA, MODEL
from secateur import recipe, sources, storage
from secateur.cli import running
from secateur.plan import from_json
from secateur.report.reading import read

FILES = {
    "recipe.toml",
    "original.safetensors",
    "round-1.safetensors",
    "round-2.safetensors",
    "model.safetensors",
    "plan.json",
    "model.onnx",
    "result.json",
    "report.html",
}
QUICK = ("--remove", "50%", "--recover", 1, "--train", 2)


pytestmark = pytest.mark.usefixtures("folder", "quickened")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole run of two rounds in `run`, and what it printed as JSON in `printed.json`."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        commands.settle(folder, patch)
        commands.quicken(patch)
        options = (*QUICK, "--rounds", 2, "--protect", "2", "--from-scratch", "--seed", 3, "--out", "run")
        (folder / "printed.json").write_text(commands.done("compress", *MODEL, *DATA, *options, "--json"))
    return folder


def loaded(path: Path) -> torch.nn.Module:
    """A network of a run folder, as any process would load it."""
    return storage.load(path, build=lambda: sources.build("mine.py:build", 0, {}))


def test_a_run_folder_holds_everything_and_nothing_else(finished: Path) -> None:
    assert {path.name for path in (finished / "run").iterdir()} == FILES


def test_what_is_printed_as_json_is_the_result_and_its_files(finished: Path) -> None:
    printed = json.loads((finished / "printed.json").read_text())
    files = printed.pop("files")
    assert set(files) == FILES
    assert printed.pop("interrupted") is False
    assert printed == json.loads((finished / "run" / "result.json").read_text())


def test_the_network_and_its_rounds_load_and_follow_the_plan(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    shapes = [
        tuple(dict(loaded(Path("run") / f"{name}.safetensors").named_parameters())["0.weight"].shape)
        for name in ("original", "round-1", "round-2", "model")
    ]
    assert shapes == [(12, 4), (8, 4), (6, 4), (6, 4)]  # half of twelve in two equal rounds
    last, model = (loaded(Path("run") / f"{name}.safetensors") for name in ("round-2", "model"))
    example = torch.randn(5, 4)
    assert torch.equal(last(example), model(example))
    assert storage.read_plan("run/model.safetensors") == from_json(Path("run/plan.json").read_text())


def test_the_recipe_reads_back_and_repeats_the_run(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    result = read(Path("run/result.json"))
    assert recipe.to_dict(recipe.read(Path("run/recipe.toml"))).items() <= result.settings.items()
    given = (*MODEL, "--weights", "run/original.safetensors", *DATA, "--seed", 3)
    commands.done("compress", *given, "--recipe", "run/recipe.toml", "--out", "again")
    first, again = (loaded(Path(name) / "model.safetensors").state_dict() for name in ("run", "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_result_says_where_everything_came_from(finished: Path) -> None:
    result = read(finished / "run" / "result.json")
    assert result.settings["model"] == "mine.py:build"
    assert result.settings["data"] == "mine.py:task"
    assert result.settings["seed"] == 3
    assert any("trained for 2 epochs first" in note for note in result.notes)
    assert [step.name for step in result.controls] == ["from_scratch"]
    assert result.widths == {"0": (12, 6), "2": (12, 12)}
    assert {name.removeprefix("test_") for name in result.final.quality} == {"accuracy"}


def test_the_tables_say_what_a_reader_asks_first() -> None:
    shown = " ".join(commands.done("compress", *MODEL, *DATA, *QUICK, "--out", "run").split())
    for part in (
        "12 of 24 units removed, 1 of 1 round kept",
        "parameters",
        "MACs per row",
        "peak activations per row",
        "latency, 32 rows",
        "validation accuracy",
        "test accuracy",
        "every cut equals the silenced original",
        "the network's output",
        "run/report.html",
    ):
        assert part in shown


def test_without_a_budget_it_removes_what_holds_and_says_so() -> None:
    outcome = commands.run("compress", *MODEL, *DATA, "--recover", 0, "--max-drop", 100, "--rounds", 2, "--out", "run")
    assert "removing 95% of the units of every site by dense in 2 rounds" in outcome.stderr
    assert "at most 100 of 100 points" in outcome.stderr
    assert recipe.read(Path("run/recipe.toml")).max_drop == 100


def test_a_drop_that_never_holds_leaves_the_original(folder: Path) -> None:
    found = commands.data(
        "compress", *MODEL, *DATA, "--remove", "90%", "--recover", 0, "--max-drop=-100", "--out", "run"
    )
    assert [one["kept"] for one in found["rounds"]] == [False]
    assert found["widths"] == {"0": [12, 12], "2": [12, 12]}
    assert not (folder / "run" / "round-1.safetensors").exists()
    assert dict(loaded(Path("run/model.safetensors")).named_parameters())["0.weight"].shape == (12, 4)


def test_a_later_run_takes_the_place_of_an_earlier_one_whole(folder: Path) -> None:
    commands.done("compress", *MODEL, *DATA, *QUICK, "--rounds", 2, "--out", "run")
    commands.done("compress", *MODEL, *DATA, "--remove", "50%", "--recover", 0, "--out", "run")
    assert {path.name for path in (folder / "run").iterdir()} == FILES - {
        "original.safetensors",
        "round-2.safetensors",
    }


def test_a_refused_run_leaves_an_earlier_one_as_it_was() -> None:
    commands.done("compress", *MODEL, *DATA, "--remove", "50%", "--recover", 0, "--out", "run")
    assert "cannot be reached" in commands.refusal("compress", *MODEL, *DATA, "--params", 1, "--out", "run")


def test_a_folder_with_other_files_is_only_written_to_by_force(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "diary.txt").write_text("mine")
    options = ("--remove", "50%", "--recover", 0, "--out", "notes")
    assert "--force" in commands.refusal("compress", *MODEL, *DATA, *options)
    commands.done("compress", *MODEL, *DATA, *options, "--force")
    assert (folder / "notes" / "diary.txt").read_text() == "mine"
    assert (folder / "notes" / "model.safetensors").exists()


def test_a_missing_onnx_is_a_note_and_not_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.errors import ExportError

    def refuse(*_: object) -> float:
        raise ExportError("ONNX export needs onnx, which is not installed")

    monkeypatch.setattr(running, "export_onnx", refuse)
    found = commands.data("compress", *MODEL, *DATA, "--remove", "50%", "--recover", 0, "--out", "run")
    assert "model.onnx" not in found["files"]
    assert any("model.onnx was not written: ONNX export needs onnx" in note for note in found["notes"])
    assert "was not written" in (folder / "run" / "report.html").read_text()


def test_a_recipe_takes_the_place_of_the_options_that_it_says_itself() -> None:
    Path("r.toml").write_text('[[stage]]\nmethod = "magnitude"\ncount = 3\nrecover = 0\n')
    outcome = commands.run("compress", *MODEL, *DATA, "--recipe", "r.toml", "--recover", 0, "--out", "run")
    assert outcome.exit_code == 2
    assert "--recover" in outcome.stderr
    found = commands.data("compress", *MODEL, *DATA, "--recipe", "r.toml", "--max-drop", 100, "--out", "run")
    assert found["method"] == "magnitude"
    assert found["widths"] == {"0": [12, 9], "2": [12, 9]}
    assert found["settings"]["max_drop"] == 100


def test_a_full_disk_is_refused_before_the_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    line = commands.refusal("compress", *MODEL, *DATA, *QUICK, "--out", "run")
    assert "only 1,000 are free" in line


def test_ctrl_c_between_trainings_is_one_line_that_says_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "write_text", interrupt)
    outcome = commands.run("compress", *MODEL, *DATA, *QUICK, "--out", "run")
    assert outcome.exit_code == 130
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("interrupted; finished so far: ")
    assert "run/round-1.safetensors" in last


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_in_the_middle_of_recovery_keeps_what_is_finished() -> None:
    arguments = ["compress", *MODEL, "--data", "mine.py:long", "--remove", "50%", "--recover", "100000", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur.cli", *arguments, "--verbose", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(sources.__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2 of 100000"):
            process.send_signal(signal.SIGINT)
            break
    printed, rest = process.communicate(timeout=400)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "interrupted: what was finished is kept and written."
    assert "Traceback" not in rest
    result = json.loads(printed)
    assert result["interrupted"]
    assert result["rounds"][0]["epochs"]
    assert {path.name for path in Path("run").iterdir()} == FILES - {"original.safetensors", "round-2.safetensors"}
    assert dict(loaded(Path("run/model.safetensors")).named_parameters())["0.weight"].shape == (6, 4)


def test_ctrl_c_while_the_original_trains_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = running.train

    def interrupted(*arguments: object, **settings: object) -> object:
        from dataclasses import replace

        return replace(real(*arguments, **settings), interrupted=True)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "train", interrupted)
    outcome = commands.run("compress", *MODEL, *DATA, *QUICK, "--out", "run")
    assert outcome.exit_code == 130
    assert outcome.stderr.splitlines()[-1] == (
        "interrupted; finished so far: run/recipe.toml, run/original.safetensors."
    )


def test_the_demonstration_compresses_both_of_its_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.cli import demo, recipes

    monkeypatch.setattr(demo, "MODEL", "zoo:mlp?hidden=16,16")
    monkeypatch.setattr(recipes, "MOST_ROUNDS", 2)
    found = commands.data("demo", "--out", "shown")
    assert set(found) == {"digits", "diabetes"}
    for name, metric in (("digits", "accuracy"), ("diabetes", "r2")):
        assert found[name]["metric"] == metric
        assert (folder / "shown" / name / "report.html").exists()
