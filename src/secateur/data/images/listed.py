"""Images with a table of their classes: `labels.csv` names files beside it, or in zip archives beside it."""

import csv
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from secateur.data.images.address import Reading
from secateur.data.images.entries import SHOWN, Entry, alike, pictures, readable
from secateur.data.images.pictures import Found
from secateur.errors import DataError

TABLE = "labels.csv"
FILE = ("file", "filename", "image", "path")
LABEL = ("label", "class_index", "class")
NAME = ("name", "class_name")

Row = Mapping[str, str]


def is_there(folder: Path) -> bool:
    """Whether a folder has such a table."""
    return (folder / TABLE).is_file()


def read(folder: Path, how: Reading) -> Found:
    """The images that the table names, all of them for training; classes are numbers from 0, or words in their order.

    Raises:
        DataError: the table or an archive is damaged, files are missing or cannot be read, or they differ in size.
    """
    table = folder / TABLE
    rows = _rows(table)
    file, label = (_column(table, rows[0], known) for known in (FILE, LABEL))
    labels, names = _classes(table, rows, label)
    files = _files(folder, [row[file] for row in rows])
    listed = zip(rows, labels, files, strict=True)
    entries = [Entry(row[file], "train", number, content) for row, number, content in listed]
    kept, images, notes = readable(folder, entries, how)
    return Found({"train": pictures(kept, alike(folder, kept, images), "train")}, names, notes, classes_listed=True)


def _rows(table: Path) -> list[Row]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table with commas ({error}); get it again.") from error
    odd = [number for number, row in enumerate(rows, 2) if None in row or None in row.values()]
    if odd or not rows:
        found = f"line {odd[0]} has more or fewer columns than the first" if odd else "has no rows"
        raise DataError(f"{table}: {found}; write a line of names, then a line for each image.")
    return rows  # type: ignore[return-value]


def _column(table: Path, row: Row, known: Sequence[str]) -> str:
    found = next((name for name in known if name in row), None)
    if found is None:
        raise DataError(f"{table}: has the columns {', '.join(row)}; one must be {' or '.join(known)}.")
    return found


def _classes(table: Path, rows: Sequence[Row], label: str) -> tuple[list[int], tuple[str, ...]]:
    """The number of each row's class, and the names of all classes."""
    written = [row[label] for row in rows]
    if all(text.isdecimal() for text in written):
        labels = [int(text) for text in written]
        name = next((name for name in NAME if name in rows[0]), label)
        called = {number: row[name] for number, row in zip(labels, rows, strict=True)}
        names = tuple(called.get(number, str(number)) for number in range(max(labels) + 1))
    else:
        names = tuple(sorted(set(written)))
        labels = [names.index(text) for text in written]
    if len(names) < 2:
        raise DataError(f"{table}: all of its {len(rows)} images are of one class; two are the fewest.")
    return labels, names


def _files(folder: Path, names: Sequence[str]) -> list[Path | BytesIO]:
    """The files of so many names: in the folder, or in one of its zip archives."""
    packed = _unpacked(folder, {name for name in names if not (folder / name).is_file()})
    missing = [name for name in names if name not in packed and not (folder / name).is_file()]
    if missing:
        found = f"{len(missing)} of {len(names)} images of {TABLE} are missing: {', '.join(missing[:SHOWN])}"
        raise DataError(f"{folder}: {found}{', …' if len(missing) > SHOWN else ''}; put them, or a zip of them, there.")
    return [packed.get(name, folder / name) for name in names]


def _unpacked(folder: Path, names: set[str]) -> dict[str, BytesIO]:
    found: dict[str, BytesIO] = {}
    for path in sorted(folder.glob("*.zip")) if names else ():
        try:
            with ZipFile(path) as archive:
                held = names.intersection(archive.namelist())
                found |= {name: BytesIO(archive.read(name)) for name in sorted(held)}
        except (BadZipFile, OSError, RuntimeError, NotImplementedError) as error:  # the last two: locked, unknown form
            raise DataError(f"{path}: cannot be unpacked ({error}); get it again, or unpack it by hand.") from error
    return found
