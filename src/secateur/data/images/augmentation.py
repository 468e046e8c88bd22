"""Images moved, mirrored and mixed by chance, a whole batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn import functional as F

PADDING = 8  # crops move by up to this part of a side: 4 of 32 pixels
SEEDS = 2**63 - 1


@dataclass(frozen=True)
class Augmentation:
    """What may happen to images in training; `mixup` and `cutmix` are the α of their Beta distributions, 0 for none."""

    crop: bool = True
    flip: bool = True
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def mixes(self) -> bool:
        """Whether labels become shares of classes."""
        return self.mixup > 0 or self.cutmix > 0


def moved(
    pixels: UInt8[Tensor, "batch height width channels"], augmentation: Augmentation, generator: Generator
) -> UInt8[Tensor, "batch height width channels"]:
    """Each image cut anew out of a black border around it, and mirrored every other time."""
    rows, height, width, _ = pixels.shape
    if augmentation.crop:
        top, side = height // PADDING, width // PADDING
        framed = F.pad(pixels, (0, 0, side, side, top, top))
        windows = framed.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)  # all crops, without a copy
        down, right = (torch.randint(2 * border + 1, (rows,), generator=generator) for border in (top, side))
        pixels = windows[torch.arange(rows), down, right]
    if augmentation.flip:
        mirrored = torch.randint(2, (rows,), generator=generator).nonzero()[:, 0]
        pixels = pixels.index_copy(0, mirrored, pixels[mirrored].flip(2))
    return pixels


def mixed(
    images: Float[Tensor, "batch channels height width"],
    labels: Int64[Tensor, " batch"],
    classes: int,
    augmentation: Augmentation,
    generator: Generator,
) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch classes"]]:
    """Images mixed with others of the batch, and the share of each class in them.

    Mixup (Zhang et al. 2018, arXiv 1710.09412) adds a share of another image, CutMix (Yun et al. 2019, arXiv
    1905.04899) pastes a box of it. With both, a coin decides for each batch. One share serves the batch.
    """
    shares = F.one_hot(labels, classes).to(images.dtype)
    other = torch.randperm(len(images), generator=generator)
    cuts = augmentation.cutmix > 0 and (augmentation.mixup == 0 or bool(torch.randint(2, (1,), generator=generator)))
    share = _beta(augmentation.cutmix if cuts else augmentation.mixup, generator)
    if cuts:
        images, share = _pasted(images, images[other], share, generator)
    else:
        images = torch.lerp(images[other], images, share)
    return images, torch.lerp(shares[other], shares, share)


def _pasted(
    images: Float[Tensor, "batch channels height width"],
    others: Float[Tensor, "batch channels height width"],
    share: float,
    generator: Generator,
) -> tuple[Float[Tensor, "batch channels height width"], float]:
    """The images with a box of the others, and the share that is left of them."""
    height, width = images.shape[2:]
    part = (1.0 - share) ** 0.5
    (top, bottom), (left, right) = (_span(side, part, generator) for side in (height, width))
    images = images.clone()
    images[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return images, 1.0 - (bottom - top) * (right - left) / (height * width)


def _span(side: int, part: float, generator: Generator) -> tuple[int, int]:
    """Begin and end of a stretch around a random middle, cut off at the borders."""
    middle = int(torch.randint(side, (1,), generator=generator))
    half = int(side * part) // 2
    return max(middle - half, 0), min(middle + half, side)


def _beta(alpha: float, generator: Generator) -> float:
    """A number between 0 and 1 from Beta(α, α)."""
    seed = int(torch.randint(SEEDS, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
