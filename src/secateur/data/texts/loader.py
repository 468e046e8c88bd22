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

_POOL = 32  # batches whose texts are sorted among themselves when a new order is drawn


@dataclass(frozen=True, eq=False)
class TextBatches:
    """Batches of chosen texts, to be read again and again; each is as long as its longest text.

    `shuffle` draws a new order at each reading, from torch's global generator, in which batches hold texts of similar
    length: on texts of very different lengths most of the work would go into padding. A last text alone joins the batch
    before it.
    """

    texts: Texts
    rows: Sequence[int]
    tokenizer: Tokenizer
    batch_size: int
    shuffle: bool = False

    def __len__(self) -> int:
        return count_batches(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for chosen in self._mixed() if self.shuffle else self._parts(self.rows):
            batch: Batch = self.tokenizer(self.texts, chosen)
            if self.texts.labels is not None:
                batch["labels"] = torch.from_numpy(self.texts.labels[chosen])
            yield batch

    def _mixed(self) -> list[list[int]]:
        """The rows of every batch: drawn, sorted by length among so many batches, the batches in an order of chance."""
        drawn = [self.rows[place] for place in torch.randperm(len(self.rows)).tolist()]
        pool = _POOL * self.batch_size
        alike = [longest_first(self.texts, drawn[start : start + pool]) for start in range(0, len(drawn), pool)]
        parts = self._parts([row for rows in alike for row in rows])
        return [parts[number] for number in torch.randperm(len(parts)).tolist()]

    def _parts(self, rows: Sequence[int]) -> list[list[int]]:
        return [list(rows[start:end]) for start, end in spans(len(rows), self.batch_size)]


def longest_first(texts: Texts, rows: Sequence[int]) -> list[int]:
    """The rows by length, so that a batch has little padding, and too little memory shows at once."""
    return sorted(rows, key=lambda row: -sum(len(column[row]) for column in texts.columns))
