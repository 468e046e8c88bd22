"""Texts and models of transformers from the command line, offline, with a tiny BERT and a tokenizer of its own."""

import json
from pathlib import Path

import pytest
import torch
import transformers

import commands
import secateur as sc
import text_files
from secateur.programs import quiet

MODEL, SST2 = ("--model", "hf:bert"), ("--data", "glue/sst2:sst2?validation=12")
CUT = ("--method", "magnitude", "--remove", "50%", "--recover", 1, "--batch-size", 8, "--out", "run")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text_files.write_bert(Path("bert"))
    text_files.write_sst2(Path("sst2"))


def test_a_plain_encoder_is_tuned_cut_and_recovered_and_its_folder_loads_as_its_class() -> None:
    found = commands.data("compress", *MODEL, *SST2, *CUT, "--train", 6, "--learning-rate", 0.003)
    assert any("that of BertForSequenceClassification is new and random" in note for note in found["notes"])
    assert found["steps"][0]["measurement"]["quality"]["accuracy"] > 80  # it did learn

    small = sc.from_pretrained("run")
    assert type(small) is transformers.BertForSequenceClassification
    assert not small.training
    assert small.bert.encoder.layer[0].intermediate.dense.out_features == 32
    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained("run")
    tokens = tokenizer(["the film is good", "the plot is very very dull ."], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert small(**tokens).logits.shape == (2, 2)

    for given in (("--model", "hf:run"), ("--weights", "run/model.safetensors")):  # with the tokenizer that was copied
        again = commands.data("measure", *given, *SST2, "--split", "test", "--no-latency")
        assert again["quality"]["accuracy"] == pytest.approx(
            found["steps"][-1]["measurement"]["quality"]["test_accuracy"]
        )
    assert json.loads(Path("run/config.json").read_text())["architectures"] == ["BertForSequenceClassification"]


def test_units_are_scored_on_a_plain_corpus_without_labels() -> None:
    text_files.write(Path("corpus.txt"), [f"the {word} film" for word in text_files.WORDS])
    scored = commands.data(
        "score", *MODEL, "--data", "text:corpus.txt", "--method", "activation_std", "--out", "s.json"
    )
    assert {site["units"] for site in scored["sites"] if "intermediate" in site["site"]} == {64}


def test_pairs_with_a_number_get_a_head_of_one_output() -> None:
    text_files.write_stsb(Path("stsb"))
    outcome = commands.run("measure", *MODEL, "--data", "glue/stsb:stsb", "--no-latency", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert list(json.loads(outcome.stdout)["quality"]) == ["spearman", "pearson"]
    assert "note: the weights have no head for these data" in outcome.stderr


def test_what_does_not_fit_the_texts_is_refused() -> None:
    kind = transformers.BertForSequenceClassification
    text_files.write_bert(Path("three"), kind, num_labels=3)
    said = commands.refusal("measure", "--model", "hf:three", *SST2)
    assert "has 2 classes, but hf:three gives outputs of shape [3] for each; write hf:three?outputs=2 for" in said
    assert commands.data("measure", "--model", "hf:three?outputs=2", *SST2, "--no-latency")["quality"]

    text_files.write_bert(Path("few"), kind, vocab_size=11)
    said = commands.refusal("measure", "--model", "hf:few", *SST2)
    assert f"numbers up to {len(text_files.VOCABULARY) - 1}, but hf:few knows 11 tokens; give the model's own" in said

    text_files.write_bert(Path("short"), kind, max_position_embeddings=6)
    said = commands.refusal("measure", "--model", "hf:short", "--data", "glue/sst2:sst2?tokenizer=bert")
    assert "hf:short does not take its tokens" in said and "max_length= if texts are too long" in said

    text_files.write_bert(Path("turned"), kind, id2label={0: "POSITIVE", 1: "NEGATIVE"})
    said = commands.refusal("measure", "--model", "hf:turned", *SST2)
    assert "its classes are negative, positive in this order, those of hf:turned positive, negative" in said

    said = commands.refusal("measure", "--model", "zoo:mlp", *SST2)
    assert "texts need the tokenizer of a model; give --model hf:DIR, or write ?tokenizer=DIR" in said
