"""Files that are written wholly or not at all, and read with errors that say what is wrong."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from secateur.errors import FileError

DRAFTS = ".writing-"
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "no permission; choose a place that you may use",
    errno.EPERM: "no permission; choose a place that you may use",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "its folder is a file; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to: its file takes the place of `path` at the end in one step; after a failure nothing is left.

    The path lies in a folder of its own beside `path`; further files written there (an exporter's weights) move along.

    Raises:
        FileError: the place cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        if not target.name or target.is_dir():
            raise FileError(f"{target}: this is a folder; give the name of a file to write.")
        with TemporaryDirectory(dir=target.parent, prefix=DRAFTS, ignore_cleanup_errors=True) as folder:
            draft = Path(folder) / target.name
            yield draft
            _place(draft, target.parent)
    except OSError as error:
        raise FileError(f"{target}: cannot be written: {_remedy(error)} (nothing was left behind).") from error


def clear_drafts(folder: Path) -> None:
    """Remove what a process that was killed while writing has left in a folder."""
    for draft in folder.glob(f"{DRAFTS}*"):
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def reading(path: str | Path) -> Iterator[Path]:
    """The path of a file that is there, is no folder and is not empty.

    Raises:
        FileError: it is not so, or reading fails.
    """
    source = Path(path)
    try:
        if not source.exists():
            raise FileError(f"{source}: there is no such file; check the path.")
        if not source.is_file():
            raise FileError(f"{source}: this is a folder or device; give the path of a file.")
        if source.stat().st_size == 0:
            raise FileError(f"{source}: the file is empty (0 bytes); copy or download it again.")
        yield source
    except OSError as error:
        raise FileError(f"{source}: cannot be read: {_remedy(error)}.") from error


def _place(draft: Path, folder: Path) -> None:
    """Flush all files beside the draft to the disk, then move them; the draft comes last, since it names the others."""
    written = sorted(draft.parent.iterdir(), key=lambda file: file == draft)
    for file in written:
        _flush(file)
    for file in written:
        file.replace(folder / file.name)
    _flush(folder)


def _flush(path: Path) -> None:
    if os.name == "nt":  # opens no folders, and flushes only what is open for writing
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remedy(error: OSError) -> str:
    return _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; check the disk and the path")
