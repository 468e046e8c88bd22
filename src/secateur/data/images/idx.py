"""Images and labels in IDX files, as MNIST and Fashion-MNIST come, packed with gzip or not."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from secateur.data.images.pictures import Found, Pictures, paired
from secateur.data.splits import Part
from secateur.errors import DataError, FileError
from secateur.files import reading

PREFIXES: tuple[tuple[Part, str], ...] = (("train", "train"), ("test", "t10k"))
GZIP = b"\x1f\x8b"
BYTES = 0x08  # the code for unsigned bytes
_UNREADABLE = (EOFError, zlib.error, gzip.BadGzipFile)


def read(folder: Path, classes: int) -> Found:
    """The images of four files, `train-images-idx3-ubyte.gz` and its like.

    Raises:
        DataError: a file is missing or damaged, or images and labels do not fit.
    """
    parts: dict[Part, Pictures] = {}
    for part, prefix in PREFIXES:
        pixels = _array(_file(folder, f"{prefix}-images-idx3-ubyte"), axes=3)
        labels = _array(_file(folder, f"{prefix}-labels-idx1-ubyte"), axes=1)
        parts[part] = paired(pixels[..., None], labels, classes, f"{folder}: {prefix}")
    return Found(parts, ())


def _file(folder: Path, name: str) -> Path:
    packed, plain = folder / f"{name}.gz", folder / name
    return plain if plain.exists() and not packed.exists() else packed


def _array(path: Path, *, axes: int) -> UInt8[ndarray, "..."]:
    content = _content(path)
    head = 4 + 4 * axes
    if len(content) < head or content[:4] != bytes((0, 0, BYTES, axes)):
        found = f"begins with {content[:4].hex(' ') or 'nothing'}"
        raise DataError(f"{path}: {found}, not as an IDX file of bytes with {axes} axes does; get it again.")
    shape = struct.unpack(f">{axes}I", content[4:head])
    wanted = int(np.prod(shape, dtype=object))
    if len(content) - head != wanted:
        found = f"{len(content) - head} bytes of {'x'.join(map(str, shape))} = {wanted}"
        raise DataError(f"{path}: has {found}; the file is cut off or damaged: get it again.")
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape).copy()  # writable


def _content(path: Path) -> bytes:
    try:
        with reading(path):
            content = path.read_bytes()
            return gzip.decompress(content) if content.startswith(GZIP) else content
    except FileError as error:
        raise DataError(str(error)) from error
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); get it again.") from error
