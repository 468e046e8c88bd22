"""A method of a user's own on the command line."""

import json
from pathlib import Path

import pytest

from commands import DATA, MODEL, data, refusal
from own_methods import FILE

pytestmark = pytest.mark.usefixtures("quickened")


def test_commands_take_it_like_a_name(folder: Path) -> None:
    Path("norms.py").write_text(FILE)
    both = data("score", *MODEL, *DATA, "--method", "norms.py:Norms", "--set", "power=1", "--out", "mine.json")
    usual = data("score", *MODEL, *DATA, "--method", "magnitude", "--set", "p=1", "--out", "ours.json")
    assert both["method"] == "norms"
    assert both["sites"] == usual["sites"]
    data("compress", *MODEL, *DATA, "--method", "norms.py:Norms", "--remove", "50%", "--recover", "0", "--out", "run")
    stage = json.loads(Path("run/result.json").read_text())["settings"]["stage"][0]
    assert stage["method"] == str((folder / "norms.py").resolve()) + ":Norms"
    assert "Plain" in refusal("score", *MODEL, *DATA, "--method", "norms.py:Plain", "--out", "none.json")


def test_a_cell_of_it_is_tried_again_when_its_file_changes(folder: Path) -> None:
    path = folder / "norms.py"
    path.write_text(FILE)
    line = (
        "compare",
        *MODEL,
        *DATA,
        "--methods",
        "norms.py:Norms",
        "--remove",
        "50%",
        "--recover",
        "0",
        "--out",
        "all",
    )

    def tried() -> int:
        data(*line, "--set", "norms.py:Norms.power=1")
        return len(list(Path("all/cells").iterdir()))

    assert [tried(), tried()] == [1, 1]
    path.write_text(FILE.replace("norm(self.power", "norm(self.power + 1"))
    assert tried() == 2
