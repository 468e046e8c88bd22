"""From an address of texts to data that is ready to train on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from secateur.data.choosing import Chosen, Division, Draw, divide
from secateur.data.dataset import Data
from secateur.data.splits import Part
from secateur.data.texts import glue, hub, lines, tokens
from secateur.data.texts.address import TextSet
from secateur.data.texts.loader import TextBatches, longest_first
from secateur.data.texts.quality import judged
from secateur.data.texts.tokens import Tokenizer
from secateur.data.texts.written import Found, Texts
from secateur.errors import SettingsError
from secateur.task import Split, Task

USUAL_BATCH = 64
_EVALUATED: tuple[Split, ...] = ("validation", "test")


def load(texts: TextSet) -> Data:
    """The data of a set of texts.

    Raises:
        DataError: files are missing or damaged, or hold no such texts, or there is no tokenizer.
        SettingsError: more texts are asked for than there are, or no tokenizer is named.
    """
    if texts.tokenizer is None:
        remedy = "give --model hf:DIR, or write ?tokenizer=DIR behind it"
        raise SettingsError(f"{texts.address}: texts need the tokenizer of a model; {remedy}.")
    tokenizer = tokens.opened(texts.tokenizer, texts.max_length)
    found = _read(texts)
    chosen, note = _chosen(found, texts)
    loaders = {split: _loader(found, one, split, tokenizer, texts) for split, one in chosen.items()}
    return Data(
        task=_task(found, loaders),
        name=texts.task or Path(texts.place).stem,
        kind=None if found.metric is None else "classification" if found.class_names else "regression",
        features=None,
        outputs=None if found.metric is None else len(found.class_names) or 1,
        class_names=found.class_names,
        rows={split: len(chosen[split].rows) for split in get_args(Split) if split in chosen},
        notes=(*note, *found.notes, *_cut_off(found, chosen, tokenizer)),
        vocabulary=tokenizer.vocabulary,
        tokens=tokenizer.limit,
    )


def _read(texts: TextSet) -> Found:
    match texts.source:
        case "glue":
            return glue.read(texts.task or "", Path(texts.place).expanduser())
        case "text":
            return lines.corpus(Path(texts.place).expanduser())
        case "hf":
            return hub.read(texts.place, texts.columns)


def _chosen(found: Found, texts: TextSet) -> tuple[dict[Split, Chosen], tuple[str, ...]]:
    """The rows of each split, and a note where there are no training texts."""
    labels = {part: _classes(one) for part, one in found.parts.items()}
    draw = Draw(texts.seed or 0, texts.address, "texts")
    if found.metric is None:
        chosen = divide({"train": labels["train"]}, replace(texts.division, validation=0, test=0), draw)
        return {"calibration": Chosen("train", chosen["train"].rows)}, ()
    if "train" in labels:
        return divide(labels, texts.division, draw), ()
    return _without_training(labels["test"], texts.division, draw)


def _without_training(
    labels: Int64[ndarray, " rows"], division: Division, draw: Draw
) -> tuple[dict[Split, Chosen], tuple[str, ...]]:
    """Half of the test texts to score on, the others to judge by."""
    halved = replace(division, validation=0, test=0.5 if division.test is None else division.test)
    parts = divide({"train": labels}, halved, draw)
    chosen: dict[Split, Chosen] = {split: Chosen("test", parts[split].rows) for split in ("calibration", "test")}
    scoring, test = (len(chosen[split].rows) for split in ("calibration", "test"))
    note = f"there are no training texts: {scoring:,} of the development texts are scored on, {test:,} others are test"
    return chosen, (note,)


def _classes(texts: Texts) -> Int64[ndarray, " rows"]:
    """What the draw keeps in balance: classes, whole numbers, or nothing."""
    if texts.labels is None:
        return np.zeros(len(texts), dtype=np.int64)
    return np.rint(texts.labels).astype(np.int64)


def _loader(found: Found, chosen: Chosen, split: Split, tokenizer: Tokenizer, texts: TextSet) -> TextBatches:
    pool, rows = found.parts[chosen.pool], chosen.rows.tolist()
    ordered = longest_first(pool, rows) if split in _EVALUATED else rows
    return TextBatches(pool, ordered, tokenizer, texts.batch_size or USUAL_BATCH, shuffle=split == "train")


def _task(found: Found, loaders: Mapping[Split, TextBatches]) -> Task:
    splits = {str(split): loader for split, loader in loaders.items()}
    make = Task.regression if found.metric and not found.class_names else Task.classification
    task = make(**splits)
    return task if found.metric is None else judged(task, found.metric, len(found.class_names))


def _cut_off(found: Found, chosen: Mapping[Split, Chosen], tokenizer: Tokenizer) -> tuple[str, ...]:
    """How many of the texts that are used are longer than the model allows."""
    rows: dict[Part, set[int]] = {}
    for one in chosen.values():
        rows.setdefault(one.pool, set()).update(one.rows.tolist())
    long = sum(tokenizer.count_long(found.parts[part], sorted(some)) for part, some in rows.items())
    used = sum(map(len, rows.values()))
    return (
        (f"{long:,} of {used:,} texts are longer than {tokenizer.limit} tokens and were cut off there",) if long else ()
    )
