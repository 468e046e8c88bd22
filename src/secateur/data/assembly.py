"""From the parts of a table to data that is ready to train on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.data.batches import StreamedBatches, TensorBatches
from secateur.data.dataset import Data
from secateur.data.encoding import Category, Encoding, Number, Wanted, fit
from secateur.data.layout import Layout
from secateur.data.splits import Part
from secateur.data.targets import Classes, Scale
from secateur.errors import DataError
from secateur.task import Task

MEDIAN_ROWS = 100_000  # of a stream: an exact median would need all rows in memory

Batches = TensorBatches | StreamedBatches


@dataclass(frozen=True)
class Parts:
    """The rows of each part in chunks, and how many they are; `streamed` ones are read anew every time."""

    chunks: Mapping[Part, Iterable[Any]]
    rows: Mapping[Part, int]
    streamed: bool
    seed: int


@dataclass(frozen=True)
class Encoder:
    """Turns rows of a table into inputs and targets."""

    encoding: Encoding
    target: Classes | Scale

    def __call__(self, table: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.encoding.encode(table)), torch.from_numpy(self.target.encode(table))


def assemble(name: str, layout: Layout, parts: Parts, batch_size: int) -> Data:
    """The data of a table that was laid out and split; parts without rows are left out of the task.

    Raises:
        DataError: the training rows leave nothing to learn.
    """
    encoder = _learned(layout, parts)
    train, calibration = _training(encoder, parts, batch_size)
    held_out: dict[str, Batches] = {
        part: _batches(encoder, parts, part, batch_size) for part in ("validation", "test") if parts.rows[part]
    }
    make = Task.classification if layout.kind == "classification" else Task.regression
    target = encoder.target
    return Data(
        task=make(train=train, calibration=calibration, **held_out),
        name=name,
        kind=layout.kind,
        features=len(encoder.encoding.feature_names),
        outputs=len(target.names) if isinstance(target, Classes) else 1,
        feature_names=encoder.encoding.feature_names,
        class_names=target.names if isinstance(target, Classes) else (),
        rows={str(part): count for part, count in parts.rows.items()},
        notes=(*layout.notes, *_notes(encoder.encoding, parts)),
        target_mean=target.mean if isinstance(target, Scale) else 0.0,
        target_std=target.std if isinstance(target, Scale) else 1.0,
        encoding=encoder.encoding,
    )


def _learned(layout: Layout, parts: Parts) -> Encoder:
    target = layout.target.name
    numbers = layout.numbers if layout.classes else (*layout.numbers, target)
    limit = MEDIAN_ROWS if parts.streamed else None
    columns = fit(parts.chunks["train"], Wanted(numbers, layout.texts, layout.gaps, limit, parts.seed), layout.place)
    encoding = Encoding(tuple(columns[feature.name] for feature in layout.features))
    if layout.classes:
        return Encoder(encoding, layout.classes)
    scale = columns[target]
    assert isinstance(scale, Number)  # a regression's target is one
    if scale.std == 0:
        found = f"all {parts.rows['train']} training rows have target {target!r} = {scale.mean:g}"
        raise DataError(f"{layout.place}: {found}; there is nothing to learn. Give more rows.")
    return Encoder(encoding, Scale(target, scale.mean, scale.std))


def _training(encoder: Encoder, parts: Parts, batch_size: int) -> tuple[Batches, Batches]:
    """The training rows twice, shuffled and in order; in memory both share the tensors."""
    ordered = _batches(encoder, parts, "train", batch_size)
    match ordered:
        case TensorBatches(tensors=tensors):
            return TensorBatches(tensors, batch_size, shuffle=True), ordered
        case StreamedBatches(chunks=chunks, encode=encode, rows=rows):
            return StreamedBatches(chunks, encode, rows, batch_size, shuffle=True), ordered


def _batches(encoder: Encoder, parts: Parts, part: Part, batch_size: int) -> Batches:
    chunks = parts.chunks[part]
    if parts.streamed:
        return StreamedBatches(chunks, encoder, parts.rows[part], batch_size)
    encoded = [encoder(chunk) for chunk in chunks]
    tensors = tuple(torch.cat(column) for column in zip(*encoded, strict=True))
    return TensorBatches(tensors, batch_size)


def _notes(encoding: Encoding, parts: Parts) -> tuple[str, ...]:
    constant = [column.name for column in encoding.columns if _is_constant(column)]
    notes = []
    if constant:
        notes.append(f"constant in training, so 0: {', '.join(constant)}")
    if parts.streamed:
        notes.append(f"streamed: split by chance and not by class; medians of at most {MEDIAN_ROWS} training rows")
    return tuple(notes)


def _is_constant(column: Number | Category) -> bool:
    return isinstance(column, Number) and column.std == 0
