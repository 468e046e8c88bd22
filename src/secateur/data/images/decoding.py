"""Files of images as pixels, by Pillow."""

import importlib
import os
import struct
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from secateur.data.images.pictures import recoloured
from secateur.errors import DataError, first_line

GREY = ("1", "L", "LA", "La")
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # more than eight bits
MOST_THREADS = 8
# what Pillow has been seen to raise on damaged files
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip

Pixels = UInt8[ndarray, "_ _ _"]  # height, width, channels


@dataclass(frozen=True)
class Unreadable:
    """Why a file gave no image."""

    reason: str


@dataclass(frozen=True)
class Wish:
    """Pixels along a side, and channels; None takes what the file has."""

    size: int | None = None
    channels: int | None = None


def decoded(file: Path | BytesIO, wish: Wish = Wish()) -> Pixels | Unreadable:
    """The pixels of a file of 1 or 3 channels, or why there are none.

    With `size`, its shorter side is made as long, and the middle square is taken. Transparency is left out.

    Raises:
        DataError: Pillow is not installed.
    """
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; nothing that the reader of a folder can act on
            with pillow.open(file) as image:
                return _pixels(image, wish)
    except (*_UNREADABLE, pillow.DecompressionBombError) as error:
        return Unreadable(first_line(error) if not isinstance(error, pillow.UnidentifiedImageError) else "no image")


def all_decoded(files: Iterable[Path | BytesIO], wish: Wish = Wish()) -> list[Pixels | Unreadable]:
    """The pixels of many files, in order; Pillow decodes several at a time."""
    _pillow()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        return list(pool.map(partial(decoded, wish=wish), files))


def _pixels(image: Any, wish: Wish) -> Pixels:
    if image.mode in DEEP_GREY:
        raise ValueError(f"grey of more than 8 bits (mode {image.mode}); save it with 8")
    image = image.convert("L" if image.mode in GREY else "RGB")
    if wish.size is not None:
        image = _square(image, wish.size)
    pixels = np.asarray(image, dtype=np.uint8).reshape(image.height, image.width, -1)
    return pixels if wish.channels is None else recoloured(pixels, wish.channels)


def _square(image: Any, size: int) -> Any:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), resample=_pillow().Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def _pillow() -> ModuleType:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise DataError(
            f"Pillow cannot be imported ({error}); pip install 'secateur[vision]' to read images."
        ) from error
