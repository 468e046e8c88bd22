"""CIFAR in its Python form: a dict with pixels and labels in each file, read without unpickling."""

from pathlib import Path

import numpy as np
from numpy import ndarray

from secateur.data.images import pickled
from secateur.data.images.binary import CHANNELS, PIXELS, SIDE
from secateur.data.images.pictures import Pictures, paired
from secateur.errors import DataError

LABELS = ("fine_labels", "labels")


def read(path: Path, classes: int) -> Pictures:
    """The images of one file.

    Raises:
        DataError: the file is missing or damaged, or holds something else.
    """
    content = pickled.read(path)
    pixels = content.get("data")
    labels = next((content[name] for name in LABELS if name in content), None)
    if not isinstance(pixels, ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        found = f"{list(pixels.shape)}" if isinstance(pixels, ndarray) else "no array"
        raise DataError(f"{path}: data is {found}; CIFAR's has rows of {PIXELS} bytes: get the file again.")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: has no list of {' or '.join(LABELS)}; get the file again.")
    images = pixels.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return paired(np.ascontiguousarray(images), np.array(labels, dtype=np.int64), classes, str(path))
