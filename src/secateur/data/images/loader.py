"""Batches of images that are kept as bytes, and normalised, moved and mixed when they are read."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Generator, Tensor

from secateur.data.batches import count_batches, spans
from secateur.data.images.augmentation import SEEDS, Augmentation, mixed, moved
from secateur.data.images.normal import Normal

Batch = tuple[
    Float32[Tensor, "batch channels height width"], Int64[Tensor, " batch"] | Float32[Tensor, "batch classes"]
]


@dataclass(frozen=True, eq=False)
class ImageBatches:
    """Batches of chosen images, to be read again and again; all parts of a set share its bytes.

    With an augmentation, each reading draws a new order, and moves and mixes, from a seed that it takes from torch's
    global generator. A last image alone joins the batch before it, since batch norm cannot train on one row.
    """

    pixels: UInt8[Tensor, "images height width channels"]
    labels: Int64[Tensor, " images"]
    rows: Int64[Tensor, " rows"]
    classes: int
    normal: Normal
    batch_size: int
    augmentation: Augmentation | None = None
    channels_last: bool = True

    def __len__(self) -> int:
        return count_batches(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.augmentation is None:
            for start, end in spans(len(self.rows), self.batch_size):
                chosen = self.rows[start:end]
                yield self._normalised(self.pixels[chosen]), self.labels[chosen]
            return
        generator = Generator().manual_seed(int(torch.randint(SEEDS, (1,))))
        order = self.rows[torch.randperm(len(self.rows), generator=generator)]
        for start, end in spans(len(self.rows), self.batch_size):
            yield self._augmented(order[start:end], self.augmentation, generator)

    def _augmented(self, chosen: Int64[Tensor, " batch"], augmentation: Augmentation, generator: Generator) -> Batch:
        images = self._normalised(moved(self.pixels[chosen], augmentation, generator))
        if not augmentation.mixes:
            return images, self.labels[chosen]
        return mixed(images, self.labels[chosen], self.classes, augmentation, generator)

    def _normalised(
        self, pixels: UInt8[Tensor, "batch height width channels"]
    ) -> Float32[Tensor, "batch channels height width"]:
        mean, std = (torch.tensor(numbers) for numbers in (self.normal.mean, self.normal.std))
        # Written out for every pixel: torch is five times slower where it has to repeat three numbers.
        scale, shift = (numbers.expand(pixels.shape[1:]).contiguous() for numbers in (1 / (255 * std), mean / std))
        images = pixels.float().mul_(scale).sub_(shift).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()
