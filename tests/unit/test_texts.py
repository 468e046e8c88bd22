"""Texts become tokens as their model's own tokenizer makes them, in parts that a seed draws.

Tests with GLUE's own files need the folder of data that the environment variable SECATEUR_DATA names.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import text_files
from secateur import data
from secateur.data import Data
from secateur.data.texts.lines import table
from secateur.programs import quiet
from text_files import LONGEST, VOCABULARY

GLUE = Path(os.environ.get("SECATEUR_DATA", ".")) / "glue"
with_data = pytest.mark.skipif("SECATEUR_DATA" not in os.environ, reason="SECATEUR_DATA names no folder with data")
COUNTS = {"sst2": (67_349, 872), "rte": (2_490, 277), "mrpc": (3_668, 408), "stsb": (5_749, 1_500), "qnli": (0, 5_463)}
SMALL: dict[str, tuple[str, list[str], list[float]]] = {  # header, rows, labels
    "cola": ("", ["gj04\t1\t\tthe film is good", "gj04\t0\t*\tis film the"], [1, 0]),
    "mnli": (
        "index\tsentence1\tsentence2\tlabel1\tgold_label",
        ["0\tthe film\ta film\tneutral\tcontradiction", "1\tthe plot\ta plot\tneutral\tentailment"],
        [2, 0],
    ),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        ['1\t7\t8\t" the film\tthe film"', "0\t1\t2\tgood\tbad"],
        [1, 0],
    ),
    "qnli": ("index\tquestion\tsentence\tlabel", ["0\tgood\tbad\tnot_entailment", "1\ta\tthe\tentailment"], [1, 0]),
    "rte": ("index\tsentence1\tsentence2\tlabel", ["0\tgood\tbad\tnot_entailment", "1\ta\tthe\tentailment"], [1, 0]),
    "stsb": ("index\tsentence1\tsentence2\tscore", ["0\tgood\tbad\t0.250", "1\ta\tthe\t5.000"], [0.25, 5.0]),
    "wnli": ("index\tsentence1\tsentence2\tlabel", ["0\tgood\tbad\t1", "1\ta\tthe\t0"], [1, 0]),
}
METRICS = {"cola": "matthews", "mrpc": "f1", "stsb": "spearman"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text_files.write_tokenizer(Path("bert"))


def load(address: str, **settings: Any) -> Data:
    return data.load(address, **{"tokenizer": "bert", **settings})


def words(batch: dict[str, Tensor]) -> list[str]:
    """The texts of a batch, told from its tokens by the vocabulary alone."""
    rows = [[VOCABULARY[token] for token in row if VOCABULARY[token] != "[PAD]"] for row in batch["input_ids"].tolist()]
    return [" ".join(row) for row in rows]


def texts(loaded: Data, split: str) -> list[str]:
    return [text for batch in loaded.task.batches(split) for text in words(batch)]  # type: ignore[arg-type]


def test_sentences_are_what_the_file_says_with_their_labels() -> None:
    text_files.write_sst2(Path("sst2"))
    loaded = load("glue/sst2:sst2?validation=8", batch_size=8)
    assert (loaded.kind, loaded.outputs, loaded.class_names) == ("classification", 2, ("negative", "positive"))
    assert dict(loaded.rows) == {"train": 40, "calibration": 40, "validation": 8, "test": 16}
    written = [line.split("\t") for line in Path("sst2/dev.tsv").read_text().splitlines()[1:]]
    wanted = sorted((f"[CLS] {text} [SEP]", int(label)) for text, label in written)
    found = [pair for b in loaded.task.batches("test") for pair in zip(words(b), b["labels"].tolist(), strict=True)]
    assert sorted(found) == wanted
    train = Path("sst2/train.tsv").read_text()
    assert all(text.removeprefix("[CLS] ").removesuffix(" [SEP]") in train for text in texts(loaded, "train"))


@pytest.mark.parametrize("task", SMALL)
def test_every_task_is_read_as_it_is_distributed(task: str) -> None:
    header, rows, labels = SMALL[task]
    dev = "dev_matched.tsv" if task == "mnli" else "dev.tsv"
    for name in ("train.tsv", dev):
        text_files.write(Path(task, name), [*([header] if header else []), *(row for row in rows for _ in range(4))])
    loaded = load(f"glue/{task}:{task}?validation=1")
    assert loaded.task.metric == METRICS.get(task, "accuracy")
    kinds = {"stsb": ("regression", 1), "mnli": ("classification", 3)}
    assert (loaded.kind, loaded.outputs) == kinds.get(task, ("classification", 2))
    batch = next(loaded.task.batches("test"))
    assert sorted(set(batch["labels"].tolist())) == pytest.approx(sorted(labels))
    segments = int(batch["token_type_ids"].amax()) + 1
    assert segments == (1 if task == "cola" else 2)  # texts in a row


def test_quotes_and_odd_letters_are_letters_like_others() -> None:
    odd = 'the "film\u2028is\x85good'  # ends of lines to some
    Path("t.tsv").write_bytes(f"\ufeffa\tb\r\n{odd}\t1\r\n\t2\r\nx\t3".encode())
    found = table(Path("t.tsv"), ["b", "a"])
    assert found.columns == {"b": ["1", "3"], "a": [odd, "x"]}
    assert (found.lines, found.note) == ([2, 4], "t.tsv: 1 empty text was left out")


def test_batches_are_as_long_as_their_longest_text_and_masked_behind_the_others() -> None:
    text_files.write_sst2(Path("sst2"))
    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained("bert")
    for split in ("train", "calibration", "validation", "test"):
        for batch in load("glue/sst2:sst2", batch_size=5).task.batches(split):  # type: ignore[arg-type]
            lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in words(batch)]
            assert batch["input_ids"].shape[1] == max(lengths)
            assert batch["attention_mask"].sum(1).tolist() == lengths
            assert all(mask == sorted(mask, reverse=True) for mask in batch["attention_mask"].tolist())


def test_only_what_is_evaluated_goes_by_length_and_only_training_is_shuffled() -> None:
    text_files.write_sst2(Path("sst2"))
    loaded = load("glue/sst2:sst2", batch_size=4)
    lengths = [batch["input_ids"].shape[1] for batch in loaded.task.batches("test")]
    assert lengths == sorted(lengths, reverse=True)
    assert texts(loaded, "calibration") == texts(loaded, "calibration")
    assert texts(loaded, "train") != texts(loaded, "train")
    assert sorted(texts(loaded, "train")) == sorted(texts(loaded, "calibration"))


def test_training_batches_hold_texts_of_like_lengths_in_an_order_of_chance() -> None:
    said = [f"{'very ' * (number % 16)}good\t{number % 2}" for number in range(400)]
    text_files.write_sst2(Path("sst2"))
    text_files.write(Path("sst2/train.tsv"), ["sentence\tlabel", *said])
    loaded = load("glue/sst2:sst2?validation=16", batch_size=8)
    readings = [list(loaded.task.batches("train")) for _ in range(2)]
    for batches in readings:
        real = sum(int(batch["attention_mask"].sum()) for batch in batches)
        assert real > 0.9 * sum(batch["input_ids"].numel() for batch in batches)  # six tenths in an order of chance
        assert [len(batch["labels"]) for batch in batches] == [8] * 48
    first, second = ([batch["input_ids"].shape[1] for batch in batches] for batches in readings)
    assert first != second and first not in (sorted(first), sorted(first, reverse=True))
    assert sorted(text for batch in readings[0] for text in words(batch)) == sorted(texts(loaded, "calibration"))


def test_long_texts_are_cut_off_and_counted() -> None:
    long = " ".join(["good"] * 60)
    text_files.write(Path("corpus.txt"), [long, "good film", "", "the film is good", long])
    loaded = load("text:corpus.txt")
    assert f"2 of 4 texts are longer than {LONGEST} tokens and were cut off there" in loaded.notes
    assert "corpus.txt: 1 empty text was left out" in loaded.notes
    assert [len(text.split()) for text in texts(loaded, "calibration")] == [LONGEST, 4, 6, LONGEST]
    assert load("text:corpus.txt?max_length=5").tokens == 5
    assert any("3 of 4 texts are longer than 5" in note for note in load("text:corpus.txt?max_length=5").notes)


def test_a_corpus_has_texts_to_score_on_and_no_labels() -> None:
    text_files.write(Path("corpus.txt"), [f"the {word} film" for word in text_files.GOOD])
    loaded = load("text:corpus.txt?limit=3")
    assert (loaded.kind, loaded.outputs, dict(loaded.rows)) == (None, None, {"calibration": 3})
    assert set(next(loaded.task.batches("calibration"))) == {"input_ids", "token_type_ids", "attention_mask"}


def test_without_training_texts_half_of_the_others_are_scored_on_and_that_is_said() -> None:
    text_files.write_sst2(Path("sst2"), dev=20)
    Path("sst2/train.tsv").unlink()
    loaded = load("glue/sst2:sst2")
    assert dict(loaded.rows) == {"calibration": 10, "test": 10}
    assert loaded.notes == (
        "there are no training texts: 10 of the development texts are scored on, 10 others are test",
    )
    assert loaded.task.train is None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(12, 40), held=st.integers(1, 6), limit=st.none() | st.integers(4, 30), seed=st.integers(0, 5))
def test_validation_is_drawn_out_of_training_by_the_seed(rows: int, held: int, limit: int | None, seed: int) -> None:
    numbered = [f"{'good ' * (1 + n // 8)}{VOCABULARY[5 + n % 8]}\t{n % 2}" for n in range(rows)]  # no two alike
    for name in ("train.tsv", "dev.tsv"):
        text_files.write(Path("drawn", name), ["sentence\tlabel", *numbered])
    address = f"glue/sst2:drawn?validation={held}&seed={seed}" + (f"&limit={limit}" if limit else "")
    loaded, again = load(address), load(address)
    train, validation, scoring = (set(texts(loaded, split)) for split in ("train", "validation", "calibration"))
    assert not train & validation
    assert scoring <= train and len(scoring) == loaded.rows["calibration"]
    assert (len(train), len(validation)) == (loaded.rows["train"], loaded.rows["validation"])
    assert len(validation) == min(held, limit or held)
    assert limit is not None or len(train) + len(validation) == rows
    assert [set(texts(again, split)) for split in ("train", "validation")] == [train, validation]


def test_the_data_knows_its_tokens() -> None:
    text_files.write_sst2(Path("sst2"))
    loaded = load("glue/sst2:sst2")
    assert (loaded.vocabulary, loaded.tokens) == (len(VOCABULARY), LONGEST)
    text_files.write_bert(Path("short"), max_position_embeddings=9)
    assert load("glue/sst2:sst2", tokenizer="short").tokens == 9
    assert load("glue/sst2:sst2?tokenizer=bert", tokenizer="nowhere").tokens == LONGEST


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"model_type": "bert", "max_position_embeddings": 20, "pad_token_id": 1}, 20),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 20, "pad_token_id": 1}, 18),
        ({"model_type": "gpt2", "n_positions": 20}, 20),
        ({"model_type": "t5"}, LONGEST),
    ],
)
def test_texts_are_no_longer_than_a_config_has_positions_for(config: Any, tokens: int) -> None:
    text_files.write_sst2(Path("sst2"))
    Path("bert/config.json").write_text(json.dumps(config))
    assert load("glue/sst2:sst2").tokens == tokens


def test_only_a_models_own_arguments_are_in_a_batch() -> None:
    text_files.write_stsb(Path("stsb"))
    loaded = load("glue/stsb:stsb")
    args, kwargs = loaded.task.example()
    assert args == () and set(kwargs) == {"input_ids", "token_type_ids", "attention_mask"}
    assert all(tensor.shape[0] == 2 for tensor in kwargs.values())
    batch = next(loaded.task.batches("train"))
    assert batch["labels"].dtype == torch.float32
    assert float(loaded.task.loss({"logits": batch["labels"][:, None]}, batch)) == 0.0


@with_data
@pytest.mark.parametrize("task", COUNTS)
def test_the_files_of_glue_are_read_whole(task: str) -> None:
    train, dev = COUNTS[task]
    loaded = load(f"glue/{task}:{GLUE / task}?scoring=100&max_length=24")
    rows = loaded.rows
    assert rows.get("train", 0) + rows.get("validation", 0) == train
    assert rows["test"] == (dev if train else dev - dev // 2)
    assert not any("left out" in note for note in loaded.notes)
