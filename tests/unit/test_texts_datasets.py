"""The datasets package itself gives the texts that the files of GLUE do: from what it saved, and from plain files."""

from pathlib import Path
from typing import Any

import pytest

import text_files
from secateur import data
from secateur.errors import DataError

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

PARTS = {"train": "train", "validation": "dev"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    text_files.write_tokenizer(Path("bert"))
    text_files.write_sst2(Path("sst2"))


def films() -> dict[str, Any]:
    """The films of SST-2's files as tables with named classes."""
    kind = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    parts = {}
    for part, file in PARTS.items():
        rows = [line.split("\t") for line in Path(f"sst2/{file}.tsv").read_text().splitlines()[1:]]
        columns = {"sentence": [text for text, _ in rows], "label": [int(label) for _, label in rows]}
        parts[part] = pyarrow.table(columns, schema=kind.arrow_schema)
    return parts


def saved(tables: dict[str, Any]) -> Any:
    """What a DatasetDict is; its fingerprints are given, since to make them dill pickles more than it can."""
    kept = datasets.table.InMemoryTable
    return datasets.DatasetDict({part: datasets.Dataset(kept(rows), fingerprint=part) for part, rows in tables.items()})


def test_what_the_package_saved_holds_the_texts_of_the_files() -> None:
    saved(films()).save_to_disk("films")
    found, wanted = (data.load(address, tokenizer="bert") for address in ("hf:films", "glue/sst2:sst2"))
    assert (found.kind, found.outputs, found.class_names) == ("classification", 2, ("negative", "positive"))
    assert dict(found.rows) == dict(wanted.rows)
    for split in ("calibration", "validation", "test"):
        pairs = list(zip(found.task.batches(split), wanted.task.batches(split), strict=True))
        assert all(a["input_ids"].equal(b["input_ids"]) and a["labels"].equal(b["labels"]) for a, b in pairs)


def test_a_folder_of_parquet_files_is_read_by_their_names() -> None:
    Path("plain").mkdir()
    for part, rows in films().items():
        parquet.write_table(rows, f"plain/{part}.parquet")
    found = data.load("hf:plain?text=sentence&label=label", tokenizer="bert")
    assert dict(found.rows) == dict(data.load("glue/sst2:sst2", tokenizer="bert").rows)


def test_what_the_package_cannot_read_is_refused_in_one_line() -> None:
    Path("films").mkdir()
    with pytest.raises(DataError, match=r"hf:films: its files cannot be read \(.*\); check the name") as caught:
        data.load("hf:films", tokenizer="bert")
    assert "\n" not in str(caught.value)
