"""What a set of images is once its files are read: pixels and labels in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, Integer, UInt8
from numpy import ndarray

from secateur.data.splits import Part
from secateur.errors import DataError


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of one size, bytes of colour, and the class of each."""

    pixels: UInt8[ndarray, "rows height width channels"]
    labels: Int64[ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Found:
    """The parts of a set that are there, training always, and the names of its classes; `notes` tell of the reading.

    Where the classes are listed apart from the images, training needs no image of each.
    """

    parts: Mapping[Part, Pictures]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    classes_listed: bool = False


def paired(
    pixels: UInt8[ndarray, "rows height width channels"], labels: Integer[ndarray, " labels"], classes: int, place: str
) -> Pictures:
    """Images with their labels.

    Raises:
        DataError: they are not equally many, there are none, or a label is no class.
    """
    if len(pixels) != len(labels) or len(pixels) == 0:
        found = f"{len(pixels)} images and {len(labels)} labels"
        raise DataError(f"{place}: {found}; there must be equally many, and one at least: get its files again.")
    strange = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(strange):
        found = f"{len(strange)} of {len(labels)} labels are no class, first {labels[strange[0]]} at image {strange[0]}"
        raise DataError(f"{place}: {found}; the classes are 0 to {classes - 1}: check that it is the right set.")
    return Pictures(pixels, labels.astype(np.int64))


def joined(pictures: list[Pictures]) -> Pictures:
    """All images one after another."""
    return Pictures(*(np.concatenate(parts) for parts in zip(*((p.pixels, p.labels) for p in pictures), strict=True)))


def coloured(pictures: Pictures, channels: int | None) -> Pictures:
    """The same images with 1 or 3 channels; None leaves them."""
    if channels in (None, pictures.pixels.shape[-1]):
        return pictures
    return Pictures(recoloured(pictures.pixels, channels or 0), pictures.labels)


def recoloured(
    pixels: UInt8[ndarray, "*rows height width before"], channels: int
) -> UInt8[ndarray, "*rows height width after"]:
    """Grey repeated for each colour, or colours as the grey that they look like (ITU-R 601-2)."""
    if pixels.shape[-1] < channels:
        return np.repeat(pixels, channels, axis=-1)
    if pixels.shape[-1] == channels:
        return pixels
    # in whole numbers, as Pillow does it
    grey = (pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32) + 0x8000) >> 16
    return grey[..., None].astype(np.uint8)
