"""Places to write to, tried before the long work starts."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from secateur.errors import FileError
from secateur.files import reading, replacing


class _Enough(Exception):  # noqa: N818  # not an error: it ends an attempt
    """The place could be written to."""


def check_writable(path: Path, size_bytes: int = 0) -> None:
    """Refuse a file that could not be written, by beginning one beside it.

    Raises:
        FileError: there is no such folder, no permission, or less space than `size_bytes`.
    """
    with suppress(_Enough), replacing(path):
        raise _Enough
    free = shutil.disk_usage(path.parent).free
    if free < size_bytes:
        raise FileError(f"{path}: needs about {size_bytes:,} bytes, but only {free:,} are free; free some space.")


def write_text(path: Path, text: str) -> None:
    """Write a text file, wholly or not at all.

    Raises:
        FileError: it cannot be written.
    """
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        FileError: it cannot be read, or is not JSON.
    """
    with reading(path) as source:
        try:
            return json.loads(source.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise FileError(f"{path}: this is not JSON ({error}); give a file that secateur wrote.") from error
