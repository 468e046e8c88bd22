"""CIFAR in its binary form: a record for each image, of one or two bytes of labels and 3,072 of pixels."""

from pathlib import Path

import numpy as np

from secateur.data.images.pictures import Pictures, paired
from secateur.errors import DataError, FileError
from secateur.files import reading

SIDE, CHANNELS = 32, 3
PIXELS = CHANNELS * SIDE * SIDE


def read(path: Path, classes: int, labels: int) -> Pictures:
    """The images of one file whose records begin with so many labels; the last of them, the finest, counts.

    Raises:
        DataError: the file is missing or cut off, or a label is no class.
    """
    try:
        with reading(path):
            content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except FileError as error:
        raise DataError(str(error)) from error
    record = labels + PIXELS
    if len(content) % record:
        found = f"{len(content):,} bytes are {len(content) / record:.2f} images of {record:,} bytes"
        raise DataError(f"{path}: {found}; the file is cut off or another: get it again.")
    records = content.reshape(-1, record)
    pixels = records[:, labels:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return paired(np.ascontiguousarray(pixels), records[:, labels - 1], classes, str(path))
