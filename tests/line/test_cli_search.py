"""`secateur compress` without a method: a goal, what is found under it, and families."""

import json
import sys
from pathlib import Path

import pytest

import commands
from commands import DATA, MODEL
from secateur import recipe
from secateur.cli import running, seeking
from secateur.report.reading import read

GOAL = ("--macs", "40%", "--recover", 0, "--train", 1, "--trials", 2, "--finalists", 1)


pytestmark = pytest.mark.usefixtures("folder", "quickened")


def test_a_search_leaves_its_recipe_and_everything_it_tried(folder: Path) -> None:
    printed = commands.data("compress", *MODEL, *DATA, *GOAL, "--out", "run")
    search = json.loads((folder / "run" / "search.json").read_text())["search"]
    assert [one["number"] for one in search["tried"]] == [0, 1]
    (chosen,) = (one for one in search["tried"] if one["number"] == search["chosen"])
    found = recipe.read(folder / "run" / "recipe.toml")
    assert [stage.method.name for stage in found.stages] == [chosen["method"]]
    assert read(folder / "run" / "result.json").final.macs == chosen["macs"] <= 0.4 * search["macs"]
    assert any("2 candidates" in note for note in printed["notes"])
    assert 'id="search"' in (folder / "run" / "report.html").read_text()


def test_the_recipe_that_was_found_does_the_same_again() -> None:
    first = commands.data("compress", *MODEL, *DATA, *GOAL, "--out", "run")
    again = ("--recipe", "run/recipe.toml", "--weights", "run/original.safetensors", "--out", "again")
    second = commands.data("compress", *MODEL, *DATA, *again)
    assert second["widths"] == first["widths"]
    assert [edit["removed"] for edit in second["plan"]["edits"]] == [edit["removed"] for edit in first["plan"]["edits"]]


def test_a_search_that_was_stopped_goes_on_from_its_study(folder: Path) -> None:
    commands.done("compress", *MODEL, *DATA, "--method", "chance", *GOAL[:6], "--out", "run")
    goal = ("--weights", "run/original.safetensors", *GOAL[:4], *GOAL[6:], "--out", "stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "told", lambda _: sys.exit("killed"))  # after the last candidate, before the line
        assert commands.run("compress", *MODEL, *DATA, *goal).exit_code == 1
    study = folder / "stopped" / "study.journal"
    tried = study.read_text().count('"record"')
    assert tried == 2
    commands.done("compress", *MODEL, *DATA, *goal, "--resume")
    assert study.read_text().count('"record"') == tried


def test_every_member_of_a_family_gets_a_folder_and_one_scoring_serves_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = []
    prepared = seeking.prepared
    monkeypatch.setattr(seeking, "prepared", lambda *given, **more: scored.append(1) or prepared(*given, **more))
    options = ("--family", "4x,2x", "--by", "params", *GOAL[2:])
    commands.done("compress", *MODEL, *DATA, *options, "--out", "run")
    found = {name: read(folder / "run" / name / "result.json") for name in ("2x", "4x")}
    for factor, name in ((2, "2x"), (4, "4x")):
        assert found[name].final.parameters * factor <= found[name].original.parameters
    assert found["2x"].original.quality == found["4x"].original.quality
    assert set(json.loads((folder / "run" / "family.json").read_text())) == {"2x", "4x"}
    assert len(scored) == 1


def test_without_optuna_a_search_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "secateur.searching.studies", raising=False)
    outcome = commands.run("compress", *MODEL, *DATA, *GOAL, "--out", "run")
    assert outcome.exit_code == 1
    assert "pip install 'secateur[search]'" in outcome.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--remove", "50%", "--trials", 3), "--trials"),
        (("--macs", "50%", "--rounds", 3), "a search decides this"),
        (("--family", "2x", "--macs", "50%"), "--family is a list of goals itself"),
        (("--macs", "50%", "--by", "macs"), "--by goes with --family"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(options: tuple[object, ...], said: str) -> None:
    outcome = commands.run("compress", *MODEL, *DATA, *options, "--out", "run")
    assert outcome.exit_code == 2
    assert said in " ".join(outcome.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--family", "0.5x"), "give factors above 1"),
        (("--family", "2x,3x,2.0x"), "2x is given twice"),
        (("--family", "2x,fast"), "give factors above 1"),
        (("--family", "2x", "--by", "macz"), "did you mean macs"),
        (("--macs", "50%", "--trials", 0), "--trials is 0"),
    ],
)
def test_what_is_out_of_range_is_refused(options: tuple[object, ...], said: str) -> None:
    outcome = commands.run("compress", *MODEL, *DATA, *options, "--out", "run")
    assert outcome.exit_code == 1
    assert said in " ".join(outcome.stderr.split())


def test_a_study_that_is_none_is_refused_before_an_earlier_run_is_touched(folder: Path) -> None:
    commands.done("compress", *MODEL, *DATA, "--method", "chance", *GOAL[:6], "--out", "run")
    (folder / "notes.txt").write_text("no study")
    goal = ("--weights", "run/original.safetensors", *GOAL[:4], *GOAL[6:], "--study", "notes.txt", "--out", "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    outcome = commands.run("compress", *MODEL, *DATA, *goal)
    assert outcome.exit_code == 1
    assert "notes.txt" in outcome.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
