"""Batches of texts, which become tokens when they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from secateur.data.batches import count_batches, spans
from secateur.data.texts.tokens import Tokenizer
from secateur.data.texts.written import Texts

Batch = dict[str, Int64[Tensor, "rows tokens"] | Int64[Tensor, " rows"] | Float32[Tensor, " rows"]]


@dataclass(frozen=True, eq=False)
class TextBatches:
    """Batches of chosen texts, to be read again and again; each is as long as its longest text.

    `shuffle` draws a new order at each reading, from torch's global generator. A last text alone joins the batch before
    it.
    """

    texts: Texts
    rows: Sequence[int]
    tokenizer: Tokenizer
    batch_size: int
    shuffle: bool = False

    def __len__(self) -> int:
        return count_batches(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.rows)).tolist() if self.shuffle else range(len(self.rows))
        for start, end in spans(len(self.rows), self.batch_size):
            chosen = [self.rows[place] for place in order[start:end]]
            batch: Batch = self.tokenizer(self.texts, chosen)
            if self.texts.labels is not None:
                batch["labels"] = torch.from_numpy(self.texts.labels[chosen])
            yield batch


def longest_first(texts: Texts, rows: Sequence[int]) -> list[int]:
    """The rows by length, so that a batch has little padding, and too little memory shows at once."""
    return sorted(rows, key=lambda row: -sum(len(column[row]) for column in texts.columns))
