"""Images in sheets: `train_00.webp`, `train_01.webp`, …, grids of equal tiles, with all labels in `labels.npz`."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from numpy import ndarray

from secateur.data.images.decoding import Unreadable, all_decoded
from secateur.data.images.pictures import Found, Pictures, paired
from secateur.data.splits import Part
from secateur.errors import DataError, FileError, first_line
from secateur.files import reading

TILE = 32
LABELS = "labels.npz"
_UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, OSError)


def read(folder: Path, classes: int) -> Found:
    """The images of sheets and their labels; training may be a part of the set, named such as `train5k`.

    Raises:
        DataError: a file is missing or damaged, or they do not fit each other.
    """
    labels = _labels(folder / LABELS)
    train = next((name for name in sorted(labels) if _sheets(folder, name) and name.startswith("train")), "train")
    parts: dict[Part, Pictures] = {}
    for part, name in (("train", train), ("test", "test")):
        if name not in labels:
            found = f"holds labels for {', '.join(sorted(labels)) or 'nothing'}"
            raise DataError(f"{folder / LABELS}: {found}, none for {name}; get the file again.")
        parts[part] = _part(folder, name, labels[name], classes)  # type: ignore[index]
    return Found(parts, ())


def _labels(path: Path) -> Mapping[str, Integer[ndarray, " rows"]]:
    try:
        with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except FileError as error:
        raise DataError(str(error)) from error
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: damaged, or not what numpy.savez writes ({first_line(error)}); get it again."
        ) from error
    odd = [name for name, array in arrays.items() if array.ndim != 1 or array.dtype.kind not in "iu"]
    if odd:
        found = f"{odd[0]} is {arrays[odd[0]].dtype} of shape {list(arrays[odd[0]].shape)}"
        raise DataError(f"{path}: {found}; labels are whole numbers, one for each image.")
    return arrays


def _part(folder: Path, name: str, labels: Integer[ndarray, " rows"], classes: int) -> Pictures:
    files = _sheets(folder, name)
    decoded = all_decoded(files)
    tiles = [_tiles(pixels, file) for pixels, file in zip(decoded, files, strict=True)]
    _check_complete(folder, name, tiles, len(labels))
    return paired(np.concatenate(tiles), labels, classes, f"{folder}: {name}")


def _sheets(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"{name}_[0-9]*.webp"))


def _tiles(pixels: object, file: Path) -> UInt8[ndarray, "tiles 32 32 3"]:
    """The tiles of a sheet, row by row."""
    if isinstance(pixels, Unreadable):
        raise DataError(f"{file}: damaged ({pixels.reason}); get it again.")
    assert isinstance(pixels, ndarray)
    height, width, channels = pixels.shape
    if height % TILE or width % TILE or channels != 3:
        found = f"{height}x{width} pixels of {channels} channels"
        raise DataError(f"{file}: {found}; a sheet is a grid of coloured tiles of {TILE}x{TILE}.")
    grid = pixels.reshape(height // TILE, TILE, width // TILE, TILE, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, TILE, TILE, channels)


def _check_complete(folder: Path, name: str, tiles: list[UInt8[ndarray, "_ 32 32 3"]], labels: int) -> None:
    """Refuse gaps in the numbering, and too few tiles for the labels, naming the first sheet that is missing."""
    numbers = [int(file.stem.rpartition("_")[2]) for file in _sheets(folder, name)]
    gap = next((place for place, number in enumerate(numbers) if place != number), len(numbers))
    found = sum(len(sheet) for sheet in tiles)
    if gap < len(numbers) or found < labels:
        missing = f"{name}_{gap:02}.webp"
        raise DataError(
            f"{folder}: {missing} is missing; {len(numbers)} sheets have {found} of {labels} images: get all of them."
        )
