"""The folder of a comparison: what was tried stays, by its content, so that nothing is tried twice."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from secateur.comparison import FORMAT, Cell, Comparison, Trial, to_json
from secateur.difference import difference
from secateur.errors import FileError, PlanError, SettingsError
from secateur.files import clear_drafts
from secateur.places import check_writable, read_json, write_text
from secateur.plan import Plan, from_json
from secateur.plan import to_json as plan_to_json
from secateur.report import compared
from secateur.report.reading import read_trial

ABOUT, ORIGINAL = "about.json", "original.safetensors"
CELLS = "cells"
JSON, CSV, PAGE = "comparison.json", "comparison.csv", "comparison.html"
_BYTES = 2_000_000  # of all pages and cells, roughly

Known = tuple[Trial, Plan | None]


class CellFolder:
    """A folder that holds one comparison: of one model on one set of data, with any grid."""

    def __init__(self, path: Path, about: Mapping[str, Any]):
        self.path = path
        self._about = dict(about)

    def begin(self, size_bytes: int) -> None:
        """Make the folder, or go on in it, when there is enough space for a network of that size.

        Raises:
            FileError: it holds something else, or cannot be written.
            SettingsError: it holds the comparison of another model, or of other data.
        """
        self._check()
        try:
            (self.path / CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{self.path}: cannot be made: {error.strerror}; give another folder.") from error
        clear_drafts(self.path)
        clear_drafts(self.path / CELLS)
        check_writable(self.path / JSON, size_bytes + _BYTES)
        write_text(self.path / ABOUT, json.dumps(self._about, indent=1))

    @property
    def original(self) -> Path:
        """Where the network goes that was trained here, to be compared."""
        return self.path / ORIGINAL

    def read(self, key: str, cell: Cell) -> Known | None:
        """What became of a cell, as tables name it now, and its plan; None where it is not finished."""
        path = self._place(key)
        if not path.is_file():
            return None
        try:
            trial, plan = read_trial(path)
            made = None if plan is None else from_json(json.dumps(plan))
        except (FileError, PlanError):
            return None  # damaged: it is tried again
        return None if trial.key != key or (made is None) == (not trial.failure) else (replace(trial, cell=cell), made)

    def write(self, trial: Trial, plan: Plan | None) -> None:
        """Keep what became of a cell.

        Raises:
            FileError: it cannot be written, or the disk is full.
        """
        data = {"format": FORMAT, "trial": asdict(trial), "plan": json.loads(plan_to_json(plan)) if plan else None}
        write_text(self._place(trial.key), json.dumps(data))

    def finish(self, comparison: Comparison) -> dict[str, str]:
        """Write the comparison as JSON, as a table and as a page; gives the files.

        Raises:
            FileError: one of them cannot be written, or the disk is full.
        """
        write_text(self.path / JSON, to_json(comparison))
        write_text(self.path / CSV, compared.sheet(comparison))
        compared.write(comparison, self.path / PAGE)
        return {name: str(self.path / name) for name in (JSON, CSV, PAGE)}

    def _place(self, key: str) -> Path:
        return self.path / CELLS / f"{key}.json"

    def _check(self) -> None:
        try:
            is_foreign = self.path.is_dir() and any(self.path.iterdir()) and not (self.path / ABOUT).exists()
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror}; give another folder.") from error
        if is_foreign:
            raise FileError(f"{self.path}: holds files that are no comparison; give another folder.")
        if (self.path / ABOUT).exists():
            odd = difference(read_json(self.path / ABOUT), self._about)
            if odd is not None:
                raise SettingsError(f"{self.path}: holds another comparison, with {odd}; give another folder.")


def key_of(cell: Cell, content: Mapping[str, Any]) -> str:
    """The name of a cell's content: its recipe, and all else that decides what becomes of it."""
    files = [fingerprint(stage["method"]) for stage in cell.recipe.get("stage", ()) if ":" in stage["method"]]
    text = json.dumps([cell.recipe or asdict(cell), *files, dict(content), _version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def fingerprint(address: str) -> str:
    """A checksum of the files that an address names; empty where it names none.

    Of a folder, it is of its files' names, sizes and times.
    """
    found = hashlib.sha256()
    paths = [path for path in _paths(address) if path.exists()]
    for path in paths:
        try:
            if path.is_file():
                with path.open("rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
            else:
                for entry in sorted(path.rglob("*")):
                    about = entry.stat()
                    found.update(f"{entry.relative_to(path)} {about.st_size} {about.st_mtime_ns}\n".encode())
        except OSError as error:
            raise FileError(f"{error.filename}: cannot be read: {error.strerror}; check the path.") from error
    return found.hexdigest()[:24] if paths else ""


def _paths(address: str) -> Iterator[Path]:
    """What in an address may be a path."""
    name, _, options = address.partition("?")
    before, _, function = name.rpartition(":")
    yield Path(before if before.endswith(".py") and function else name.partition(":")[2] or name).expanduser()
    for option in filter(None, options.split("&")):
        value = unquote(option.partition("=")[2])
        if "/" in value or "." in value:
            yield Path(value).expanduser()


def _version() -> str:
    try:
        return version("secateur")
    except PackageNotFoundError:
        return ""
