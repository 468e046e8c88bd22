"""Data sets of Hugging Face give the texts that the files of GLUE do; stand-ins have what theirs have."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import text_files
from secateur import data
from secateur.data import Data
from secateur.errors import CompressionError, DataError, UnknownNameError

NAMES = ["negative", "positive"]


@dataclass(frozen=True)
class Rows:
    """What is used of a Dataset."""

    columns: Mapping[str, list[Any]]
    names: tuple[str, ...] = ()

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    @property
    def features(self) -> dict[str, Any]:
        return {name: SimpleNamespace(names=self.names) for name in self.columns}

    def __getitem__(self, name: str) -> list[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text_files.write_tokenizer(Path("bert"))
    text_files.write_sst2(Path("sst2"))


def written(part: str) -> dict[str, list[Any]]:
    rows = [line.split("\t") for line in Path(f"sst2/{part}.tsv").read_text().splitlines()[1:]]
    return {"sentence": [text for text, _ in rows], "label": [int(label) for _, label in rows]}


def stand_in(monkeypatch: pytest.MonkeyPatch, load: Callable[..., Any]) -> None:
    exceptions = SimpleNamespace(DatasetsError=RuntimeError)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load, exceptions=exceptions))


def assert_same(found: Data, wanted: Data) -> None:
    assert (found.kind, found.outputs, found.class_names) == (wanted.kind, wanted.outputs, wanted.class_names)
    assert dict(found.rows) == dict(wanted.rows)
    for split in ("calibration", "validation", "test"):
        pairs = list(zip(found.task.batches(split), wanted.task.batches(split), strict=True))
        assert all(a["input_ids"].equal(b["input_ids"]) and a["labels"].equal(b["labels"]) for a, b in pairs)


def refusal(address: str) -> CompressionError:
    with pytest.raises(CompressionError) as caught:
        data.load(address, tokenizer="bert")
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_task_of_glue_on_the_hub_is_the_one_that_glue_distributes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    parts = {part: Rows(written(file), tuple(NAMES)) for part, file in (("train", "train"), ("validation", "dev"))}
    test = Rows({"sentence": ["good"], "label": [-1]}, tuple(NAMES))
    stand_in(monkeypatch, lambda *names: asked.append(names) or {**parts, "test": test})
    found, wanted = (data.load(address, tokenizer="bert") for address in ("hf:glue/sst2", "glue/sst2:sst2"))
    assert asked == [("nyu-mll/glue", "sst2")]
    assert_same(found, wanted)


def test_columns_and_numbers_as_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"a": ["good film", "", "bad film"] * 10, "b": ["the plot"] * 30, "how": [0.5, 1.0, 2.5] * 10}
    stand_in(monkeypatch, lambda *_: {"train": Rows(table)})
    found = data.load("hf:org/films?text=a,b&label=how&validation=2&test=2", tokenizer="bert")
    assert (found.kind, found.outputs, found.task.metric) == ("regression", 1, "spearman")
    assert sum(found.rows[part] for part in ("train", "validation", "test")) == 20
    assert found.notes == ("10 empty texts were left out",)
    assert int(next(found.task.batches("test"))["token_type_ids"].max()) == 1

    corpus = data.load("hf:org/films?text=b", tokenizer="bert")
    assert (corpus.kind, dict(corpus.rows)) == (None, {"calibration": 30})
    assert corpus.notes == ("there are no labels, so the texts are only scored on",)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ({"body": ["good"] * 9, "label": [0] * 9}, "", "has columns body, label; name those with texts, as in ?text="),
        ({"text": ["good"] * 9, "label": [0] * 9}, "?text=body", "has columns text, label; name those with texts"),
        ({"text": ["good"] * 9}, "?label=mood", "has no column 'mood', but text; name another"),
        ({"text": ["good"] * 9, "label": [-1] * 9}, "", "9 texts have no label (-1); give a set with labels"),
        ({"text": ["good"] * 9, "label": ["yes"] * 9}, "", "its labels are not all numbers; give a set with numbered"),
        ({"text": [" "] * 9, "label": [1] * 9}, "", "train: holds no row with a text"),
    ],
)
def test_what_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, rows: dict[str, list[Any]], options: str, words: str
) -> None:
    stand_in(monkeypatch, lambda *_: {"train": Rows(rows)})
    assert words in str(refusal(f"hf:org/films{options}"))


def test_names_that_cannot_be_had_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*names: Any) -> Any:
        raise FileNotFoundError(f"Dataset {names[0]!r} doesn't exist on the Hub")

    stand_in(monkeypatch, missing)
    said = "hf:org/films: no such folder, and not to be had from the hub (Dataset 'org/films' doesn't exist"
    assert said in str(refusal("hf:org/films"))


def test_without_the_datasets_package_its_sets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = refusal("hf:glue/sst2")
    assert type(said) is DataError and "hf:glue/sst2: the datasets package cannot be imported" in str(said)
    assert type(refusal("hf:glue/sst3")) is UnknownNameError
