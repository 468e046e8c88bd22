"""`secateur compare`: a folder with the table and the page, in which nothing is tried twice."""

import csv
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import commands
from commands import DATA, MINE, MODEL
from secateur import sources
from secateur.cli.cells import whole

GRID = ("--methods", "magnitude,chance,bn_scale", "--macs", "60%", "--seeds", 2)
RUN = ("compare", *MODEL, *DATA, *GRID, "--jobs", 1, "--out", "out")
FRAGILE = """
import os, signal
from multiprocessing import parent_process
from pathlib import Path
from mine import build, task as whole


def task():
    if parent_process() is not None and not Path("killed").exists():
        data = whole()
        real = data.loss

        def deadly(*given):
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

        from dataclasses import replace
        return replace(data, loss=deadly)
    return whole()
"""


pytestmark = pytest.mark.usefixtures("folder", "quick")


def figures(comparison: Any) -> list[Any]:
    """What was found, without what the clock says."""
    return [[trial["cell"], trial["failure"], [step["measurement"] for step in trial["steps"]]] for trial in comparison]


def test_a_comparison_is_a_table_a_sheet_a_page_and_cells() -> None:
    printed = commands.done(*RUN)

    found = json.loads(Path("out/comparison.json").read_text())
    assert [trial["cell"]["seed"] for trial in found["trials"]] == [None, 0, 1, None]
    rows = list(csv.DictReader(Path("out/comparison.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["untouched", "magnitude", "chance", "chance", "bn_scale"]
    assert "<svg" in Path("out/comparison.html").read_text()
    assert {path.stem for path in Path("out/cells").iterdir()} == {trial["key"] for trial in found["trials"]}
    for part in ("untouched", "60 % MACs left", "★", "no norm scales its 12 units", "open out/comparison.html"):
        assert part in printed


def test_what_is_finished_is_never_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = commands.data(*RUN)
    real, asked = whole.try_cell, []
    monkeypatch.setattr(
        whole, "try_cell", lambda subject, cell, **more: asked.append(cell) or real(subject, cell, **more)
    )

    again = commands.data(*RUN)
    more = commands.data(*RUN, "--macs", "60%,50%")

    assert again["known"] == len(again["trials"]) and again["trials"] == first["trials"]
    assert {cell.budget for cell in asked} == {"50 % MACs left"} and more["known"] == len(first["trials"])


def test_a_changed_file_is_other_data() -> None:
    commands.done(*RUN)
    Path("mine.py").write_text(MINE.replace("rows=60", "rows=50"))

    assert commands.data(*RUN)["known"] == 0


def test_json_is_all_that_is_printed() -> None:
    found = commands.data(*RUN)

    assert found["metric"] == "accuracy" and found["files"]["comparison.html"] == "out/comparison.html"
    assert found["rankings"][0]["verdict"]


@pytest.mark.skipif(sys.platform == "win32", reason="processes are ended otherwise there")
def test_a_killed_process_costs_nothing_but_its_cell_once_more() -> None:
    Path("fragile.py").write_text(FRAGILE)
    grid = ("--methods", "magnitude,dense", "--macs", "60%", "--recover", 1, "--seeds", 1)

    here = commands.data("compare", *MODEL, "--data", "fragile.py:task", *grid, "--jobs", 1, "--out", "one")
    there = commands.data("compare", *MODEL, "--data", "fragile.py:task", *grid, "--jobs", 2, "--out", "two")

    assert Path("killed").exists()
    assert figures(here["trials"]) == figures(there["trials"])


@pytest.mark.skipif(sys.platform == "win32", reason="processes are ended otherwise there")
def test_after_a_kill_a_comparison_goes_on() -> None:
    options = ("--methods", "magnitude,chance", "--macs", "60%,50%", "--jobs", 1)
    run = ("compare", *MODEL, *DATA, *options, "--out", "out")
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur.cli", *map(str, run)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(sources.__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(list(Path("out/cells").glob("*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = {path.name for path in Path("out/cells").glob("*.json")}
    assert not Path("out/comparison.json").exists()

    found = commands.data(*run)

    assert found["known"] == len(kept) < len(found["trials"])
    assert not any(trial["failure"] for trial in found["trials"])


def test_a_comparison_in_which_nothing_worked_says_so_to_scripts() -> None:
    options = ("--methods", "bn_scale", "--macs", "60%", "--jobs", 1, "--out", "out")
    outcome = commands.run("compare", *MODEL, *DATA, *options)
    assert outcome.exit_code == 1
    (trial,) = json.loads(Path("out/comparison.json").read_text())["trials"]
    assert "no norm" in trial["failure"]


def test_a_network_without_weights_is_trained_once() -> None:
    run = (
        "compare",
        "--model",
        "zoo:mlp?hidden=8,8",
        "--data",
        "sklearn:iris",
        "--methods",
        "magnitude",
        "--macs",
        "60%",
    )
    run = (*run, "--jobs", 1, "--train", 2, "--out", "out")
    first = commands.data(*run)
    written = Path("out/original.safetensors").stat().st_mtime_ns

    assert first["notes"] == ["the network was trained for 2 epochs first (original.safetensors)"]
    assert commands.data(*run)["known"] == 1
    assert Path("out/original.safetensors").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("--methods", "magnitud"), "did you mean magnitude"),
        (("--methods", "chance,chance"), "methods: chance is given twice"),
        (("--methods", "chance,"), "--methods: 'chance,' has an empty place"),
        (("--methods", ""), "--methods: the list is empty"),
        (("--macs", "50%,0.5"), "is given twice"),
        (("--macs", "150%"), "--macs: Macs: the share left is 1.5"),
        (("--macs", "much"), "--macs: 'much' is not an amount"),
        (("--recover", "two"), "--recover: 'two' is no number of epochs"),
        (("--seeds", 0), "seeds is 0"),
        (("--set", "p=1"), "write METHOD.NAME=VALUE"),
        (("--set", "magnitud.p=1"), "did you mean magnitude"),
        (("--data", "mine.py:tusk"), "did you mean task"),
        (("--train", -1), "epochs: -1 is out of range"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(change: tuple[object, ...], part: str) -> None:
    assert part in commands.refusal(*RUN, *change)


@pytest.mark.parametrize(("dropped", "part"), [("--macs", "give a budget"), ("--methods", "--methods")])
def test_a_command_without_what_it_needs_is_wrong_usage(dropped: str, part: str) -> None:
    at = RUN.index(dropped)
    outcome = commands.run(*RUN[:at], *RUN[at + 2 :])

    assert outcome.exit_code == 2 and part in outcome.stderr


def test_settings_of_one_method_are_its_own() -> None:
    found = commands.data(*RUN, "--set", "magnitude.p=1")

    assert [trial["cell"]["method"] for trial in found["trials"]][:2] == ["magnitude (p=1)", "chance"]


def test_a_folder_of_another_model_is_refused_and_left_as_it_is() -> None:
    commands.done(*RUN)
    Path("other.py").write_text(MINE.replace("(4, 12)", "(4, 14)").replace("Linear(12, 12)", "Linear(14, 12)"))
    for change, part in (
        (("--model", "other.py:build"), "with model mine.py:build, this command other.py:build; give another folder"),
        (("--seed", 4), "with seed 0, this command 4"),
        (("--data", "mine.py:one_row"), "with data mine.py:task"),
    ):
        assert part in commands.refusal(*RUN, *change)


def test_a_folder_of_other_files_is_refused() -> None:
    Path("out").mkdir()
    Path("out/letter.txt").write_text("dear")

    assert "out: holds files that are no comparison" in commands.refusal(*RUN)


def test_a_full_disk_is_one_line_and_what_was_finished_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def full(number: int) -> None:
        if len(list(Path("out/cells").glob("*.json"))) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        outcome = commands.run(*RUN)
    assert outcome.exit_code == 1
    assert len(outcome.stderr.splitlines()) == 1 and "the disk is full; free some space" in outcome.stderr

    assert commands.data(*RUN)["known"] == 2


def test_the_page_can_be_made_anew_from_the_data() -> None:
    commands.done(*RUN)
    wanted = Path("out/comparison.html").read_bytes()
    Path("out/comparison.html").unlink()

    commands.done("report", "out")

    assert Path("out/comparison.html").read_bytes() == wanted
