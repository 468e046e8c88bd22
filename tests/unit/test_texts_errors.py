"""What is wrong with a set of texts is said in one line: the place, the numbers, the remedy."""

from pathlib import Path

import pytest

import text_files
from secateur import data
from secateur.errors import CompressionError, DataError, SettingsError, UnknownNameError
from text_files import write

HEADER = "sentence\tlabel"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text_files.write_tokenizer(Path("bert"))
    text_files.write_sst2(Path("sst2"))


def assert_refused(address: str, kind: type[CompressionError], *words: str, tokenizer: str | None = "bert") -> None:
    with pytest.raises(CompressionError) as caught:
        data.load(address, tokenizer=tokenizer)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("glue/sst3:sst2", UnknownNameError, ["'sst3' is not a known task of GLUE; did you mean sst2"]),
        ("glue:sst2", UnknownNameError, ["is not a known task of GLUE; known: cola, mnli,"]),
        ("glue/sst2:", SettingsError, ["glue/sst2: is incomplete; write glue/TASK:DIR"]),
        ("glue/sst2:?limit=3", SettingsError, ["glue/sst2:?limit=3 is incomplete; write glue/TASK:DIR"]),
        ("text:a.txt?validation=3", UnknownNameError, ["'validation' is not a known option of text:"]),
        ("glue/sst2:sst2?max_length=2", SettingsError, ["max_length='2'; it must be a whole number from 3 up"]),
        ("glue/sst2:sst2?max_length=99", SettingsError, ["max_length=99, but bert takes 24 tokens at most"]),
        ("glue/sst2:sst2?validation=99", SettingsError, ["validation=99 asks for 99 texts, but 46 of 48 can be given"]),
        ("hf:x?text=a,b,c", SettingsError, ["text='a,b,c' names 3 columns; give one, or two"]),
    ],
)
def test_addresses_that_cannot_be_are_refused(address: str, kind: type[CompressionError], words: list[str]) -> None:
    assert_refused(address, kind, *words)


@pytest.mark.parametrize(
    ("task", "lines", "words"),
    [
        ("sst2", [HEADER, "good\t1", "bad\t2"], ["train.tsv: line 3: label is '2'; it must be one of 0, 1"]),
        ("sst2", [HEADER, "good\t1", "bad"], ["train.tsv: line 3 has 1 cells, but there are 2 columns"]),
        ("sst2", ["sentence,label", "good,1"], ["has no column 'sentence', but 'sentence,label'; check that it is"]),
        (
            "rte",
            [HEADER, "good\t1"],
            ["has no column 'sentence1', but 'sentence', 'label'; check that it is the right"],
        ),
        ("sst2", [HEADER], ["train.tsv: holds no row with a text"]),
        ("sst2", [], ["has no column 'sentence', but ''"]),
        ("stsb", ["sentence1\tsentence2\tscore", "a\tb\tnan"], ["line 2: score is 'nan'; it must be a number"]),
        ("stsb", ["sentence1\tsentence2\tscore", "a\tb\thigh"], ["line 2: score is 'high'; it must be a number"]),
    ],
)
def test_files_of_another_task_or_damaged_are_refused_with_the_line(
    task: str, lines: list[str], words: list[str]
) -> None:
    for name in ("train.tsv", "dev.tsv"):
        write(Path("odd", name), lines)
    assert_refused(f"glue/{task}:odd", DataError, *words)


def test_a_wrong_encoding_is_refused_with_the_line() -> None:
    Path("latin.txt").write_bytes("good\nplot\ncafé au lait\n".encode("latin1"))
    assert_refused("text:latin.txt", DataError, "latin.txt: line 3: byte 0xe9 is no UTF-8; save the file as UTF-8")
    with Path("sst2/dev.tsv").open("ab") as file:
        file.write(b"\xff\xfe\t1\n")
    assert_refused("glue/sst2:sst2", DataError, "dev.tsv: line 18: byte 0xff is no UTF-8")


def test_missing_files_are_named() -> None:
    assert_refused("glue/sst2:nowhere", DataError, "nowhere: there is no such folder; check the path")
    Path("sst2/dev.tsv").unlink()
    assert_refused("glue/sst2:sst2", DataError, "sst2: holds no dev.tsv (and a train.tsv); give the folder with")
    assert_refused("glue/mnli:sst2", DataError, "holds no dev_matched.tsv (and a train.tsv)")
    assert_refused("text:no.txt", DataError, "no.txt: cannot be read (No such file or directory); check the path")
    assert_refused("text:sst2", DataError, "sst2: cannot be read (Is a directory)")


@pytest.mark.parametrize(("lines", "count"), [([], "0 texts"), (["", "good film", " "], "1 text")])
def test_a_corpus_needs_two_texts(lines: list[str], count: str) -> None:
    write(Path("corpus.txt"), lines)
    assert_refused(
        "text:corpus.txt", DataError, f"corpus.txt: holds {count}, which has no spread to score by; give two"
    )


def test_a_tokenizer_must_be_known_and_readable() -> None:
    assert_refused("glue/sst2:sst2", SettingsError, "texts need the tokenizer of a model; give --model", tokenizer=None)
    assert_refused("glue/sst2:sst2", DataError, "sst2: holds no tokenizer (tokenizer.json, vocab.txt", tokenizer="sst2")
    assert_refused("glue/sst2:sst2?tokenizer=org/none", DataError, "tokenizer of org/none: cannot be read")
    Path("bert/tokenizer.json").write_text("{")
    assert_refused("glue/sst2:sst2", DataError, "tokenizer of bert: cannot be read (Expecting", "copy its files again")


def test_code_that_comes_with_a_tokenizer_is_not_run() -> None:
    Path("bert/mine.py").write_text("raise SystemExit('run')")
    Path("bert/tokenizer_config.json").write_text(
        '{"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", null]}}'
    )
    try:
        loaded = data.load("glue/sst2:sst2", tokenizer="bert")
    except DataError:
        return  # refused, and nothing was run
    assert type(next(loaded.task.batches("test"))) is dict
