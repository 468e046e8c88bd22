"""Data from a function in a user's own file."""

import sys
from pathlib import Path

import pytest
import torch

from secateur import data
from secateur.errors import DataError, SettingsError, UnknownNameError
from secateur.userfile import find

MINE = """
from __future__ import annotations
from dataclasses import dataclass
import torch
import secateur as sc
from secateur.data import Data
from beside import WIDTH

@dataclass
class Settings:
    rows: int = 512

def labels(seed=0, batch_size=4):
    torch.manual_seed(seed)
    rows = Settings().rows
    batches = [(torch.randn(batch_size, WIDTH), torch.arange(batch_size) % 2) for _ in range(rows // batch_size)]
    return sc.Task.classification(train=batches)

def numbers():
    return sc.Task.regression(validation=[(torch.zeros(4, 3, 8), torch.zeros(4, 2))])

def described():
    return Data(task=labels(), name="mine", kind="classification", features=WIDTH, outputs=2)

def custom():
    nothing = lambda *_: torch.zeros(1)
    return sc.Task.of(
        metric="mine", loss=nothing, sums=nothing, quality=nothing, distance=nothing, test=[torch.zeros(2, 3)]
    )

def empty():
    return sc.Task.classification()

def wrong():
    return [1, 2, 3]

def demanding(path, seed):
    return labels(seed)

NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("WIDTH = 5\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "beside", raising=False)


def test_a_task_tells_what_its_first_batch_shows(mine: Path) -> None:
    loaded = data.load(f"{mine}:labels")
    assert (loaded.name, loaded.kind, loaded.features, loaded.outputs) == ("mine", "classification", 5, None)
    loaded = data.load(f"{mine}:numbers")
    assert (loaded.kind, loaded.features, loaded.outputs) == ("regression", None, 2)
    loaded = data.load(f"{mine}:custom")
    assert (loaded.kind, loaded.features, loaded.outputs) == (None, 3, None)


def test_data_is_returned_as_it_is(mine: Path) -> None:
    loaded = data.load(f"{mine}:described")
    assert (loaded.name, loaded.features, loaded.outputs) == ("mine", 5, 2)


def test_a_function_is_given_the_settings_that_it_has_parameters_for(mine: Path) -> None:
    first, again, other = (
        next(data.load(f"{mine}:labels", seed=seed, batch_size=3).task.batches("train"))[0] for seed in (1, 1, 2)
    )
    assert first.shape == (3, 5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_search_path_is_left_as_it_was(mine: Path) -> None:
    before = list(sys.path)
    data.load(f"{mine}:labels")
    assert sys.path == before


def test_a_missing_file_function_or_argument_is_refused(mine: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.py: no such file; check the path"):
        data.load(f"{mine.parent}/none.py:labels")
    with pytest.raises(UnknownNameError, match=r"'lables' is not a known function of .*mine\.py; did you mean labels"):
        data.load(f"{mine}:lables")
    with pytest.raises(UnknownNameError, match="'NUMBER' is not a known function"):
        data.load(f"{mine}:NUMBER")
    with pytest.raises(SettingsError, match=r"demanding: missing a required argument: 'path'; .* seed, batch_size"):
        data.load(f"{mine}:demanding")


def test_a_function_that_returns_something_else_is_refused(mine: Path) -> None:
    with pytest.raises(DataError, match=r"mine\.py:wrong: returned list; it must return a secateur Task or Data\."):
        data.load(f"{mine}:wrong")
    with pytest.raises(DataError, match="the task has no data"):
        data.load(f"{mine}:empty")


@pytest.mark.parametrize(
    ("text", "words"),
    [("def task(:\n", "line 1: .*not valid Python"), ("import nosuchlibrary\n", "nosuchlibrary.*install")],
)
def test_a_file_that_cannot_be_imported_is_refused_and_forgotten(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words):
        find(path, "task")
    assert not [name for name in sys.modules if name.startswith("secateur_file_broken")]


def test_a_file_never_takes_the_place_of_a_library(tmp_path: Path) -> None:
    path = tmp_path / "torch.py"
    path.write_text("def build(): return 3\n")
    assert find(path, "build")() == 3
    assert sys.modules["torch"] is torch
