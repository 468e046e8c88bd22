"""Small sets of texts in the files that GLUE distributes, and a tiny BERT with a tokenizer of its own words."""

from collections.abc import Sequence
from pathlib import Path

import transformers
from torch import nn

from hub_models import SIZES
from secateur.programs import quiet

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "dull", "awful")
WORDS = (*GOOD, *BAD, "the", "film", "plot", "is", "and", "very", "a", ".")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
LONGEST = 24  # tokens


def write_sst2(folder: Path, rows: int = 48, dev: int = 16) -> None:
    """Films that are good or bad in turn, in sentences of several lengths."""
    write(folder / "train.tsv", ["sentence\tlabel", *map(_film, range(rows))])
    write(folder / "dev.tsv", ["sentence\tlabel", *map(_film, range(3, dev + 3))])


def write_stsb(folder: Path, rows: int = 40, dev: int = 12) -> None:
    """Pairs of films; the nearer their qualities, the higher the score."""
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
    for name, count in (("train.tsv", rows), ("dev.tsv", dev)):
        pairs = [f"{n}\tg\tf\t1\t{n}\tnone\tnone\t{_said(n)}\t{_said(n // 3)}\t{n % 6 * 0.9:.3f}" for n in range(count)]
        write(folder / name, [header, *pairs])


def write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tokenizer(folder: Path, words: Sequence[str] = VOCABULARY, longest: int = LONGEST) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    with quiet():
        transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=longest).save_pretrained(folder)


def write_bert(folder: Path, kind: type[nn.Module] = transformers.BertModel, **changes: object) -> nn.Module:
    """A BERT of two layers with its tokenizer, as a folder of transformers."""
    sizes = {**SIZES, "vocab_size": len(VOCABULARY), "max_position_embeddings": LONGEST, **changes}
    model = kind(transformers.BertConfig(initializer_range=0.2, **sizes)).eval()  # small networks need large weights
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model


def _said(number: int) -> str:
    word = (GOOD if number % 2 else BAD)[number // 2 % 4]
    return f"the {('film', 'plot')[number % 3 % 2]} is {'very ' * (number % 4)}{word} ."


def _film(number: int) -> str:
    return f"{_said(number)}\t{number % 2}"
