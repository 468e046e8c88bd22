"""Images in tables of Hugging Face: Parquet files as on its hub, or the Arrow files that `save_to_disk` writes."""

import importlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from secateur.data.images.decoding import Unreadable, all_decoded
from secateur.data.images.pictures import Found, Pictures, paired
from secateur.data.splits import Part
from secateur.errors import DataError, first_line

IMAGES, LABELS = ("img", "image"), ("label", "fine_label", "labels")
PARTS: Mapping[str, Part] = {"train": "train", "validation": "validation", "valid": "validation", "test": "test"}


def read(folder: Path, classes: int) -> Found:
    """The images of all tables in a folder; which part a table is of stands in its name, or in its folder's.

    Raises:
        DataError: pyarrow is not installed, a file is damaged, or there is no training part.
    """
    rows: dict[Part, tuple[list[bytes], list[int]]] = {}
    for path in sorted((*folder.rglob("*.parquet"), *folder.rglob("*.arrow"))):
        part = _part(path.relative_to(folder))
        if part is not None:
            images, labels = rows.setdefault(part, ([], []))
            for image, label in _rows(path):
                images.append(image)
                labels.append(label)
    if "train" not in rows:
        raise DataError(f"{folder}: no table has train in its name; name its part, as in train-00000-of-00001.parquet.")
    return Found({part: _pictures(*found, classes, f"{folder}: {part}") for part, found in rows.items()}, ())


def _part(path: Path) -> Part | None:
    words = "-".join((*path.parts[:-1], path.stem)).replace("_", "-").split("-")
    return next((PARTS[word] for word in reversed(words) if word in PARTS), None)


def _rows(path: Path) -> Iterator[tuple[bytes, int]]:
    """The bytes of each image, and its label."""
    table = _table(path)
    image, label = (next((name for name in names if name in table.column_names), None) for names in (IMAGES, LABELS))
    if image is None or label is None:
        found = f"has columns {', '.join(table.column_names)}"
        raise DataError(f"{path}: {found}; it needs {' or '.join(IMAGES)}, and {' or '.join(LABELS)}.")
    for number, (cell, target) in enumerate(zip(table[image].to_pylist(), table[label].to_pylist(), strict=True)):
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes) or not isinstance(target, int):
            raise DataError(f"{path}: row {number} has no image in bytes and label in numbers; get the file again.")
        yield content, target


def _table(path: Path) -> Any:
    pyarrow = _package("pyarrow", path)
    try:
        if path.suffix == ".parquet":
            return _package("pyarrow.parquet", path).read_table(path)
        with pyarrow.memory_map(str(path)) as file:
            return _package("pyarrow.ipc", path).open_stream(file).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)}); get it again.") from error


def _pictures(images: list[bytes], labels: list[int], classes: int, place: str) -> Pictures:
    decoded = all_decoded([BytesIO(image) for image in images])
    for number, pixels in enumerate(decoded):
        if isinstance(pixels, Unreadable):
            raise DataError(f"{place}: image {number} is damaged ({pixels.reason}); get its file again.")
        if pixels.shape != decoded[0].shape:  # type: ignore[union-attr]
            found = f"image {number} is {list(pixels.shape)}, the first {list(decoded[0].shape)}"  # type: ignore[union-attr]
            raise DataError(f"{place}: {found}; get the files again.")
    return paired(np.stack(decoded), np.array(labels, dtype=np.int64), classes, place)  # type: ignore[arg-type]


def _package(name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(f"{path}: {name} cannot be imported ({error}); pip install pyarrow to read it.") from error
