"""The folder of a run: what is in it, and how it comes to be there."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from secateur.errors import FileError
from secateur.places import check_writable, write_text
from secateur.processes import ALONE, Processes

RECIPE, ORIGINAL, MODEL, PLAN = "recipe.toml", "original.safetensors", "model.safetensors", "plan.json"
ONNX, RESULT, REPORT = "model.onnx", "result.json", "report.html"
PROGRESS = "progress.json"  # while the run goes on
STUDY, SEARCH = "study.journal", "search.json"  # where no method was named
CONFIG = "config.json"  # of models of transformers
_NAMES = (PROGRESS, RECIPE, ORIGINAL, MODEL, CONFIG, PLAN, ONNX, RESULT, REPORT, STUDY, SEARCH)
ROUNDS = "round-{}.safetensors"
_PAGES_BYTES = 2_000_000  # report, result and plan
_NETWORKS = 4  # files of about the weights' size: the model, a round, ONNX, and one more while it is written


class RunFolder:
    """A folder that holds one run; an earlier run's files go when the first file of this one is written.

    Of several processes only the first `writes`.
    """

    def __init__(self, path: Path, *, writes: bool = True):
        self.path = path
        self.writes = writes
        self._places: dict[str, Path] = {}

    @property
    def files(self) -> dict[str, str]:
        """The files of this run that are there."""
        return {name: str(path) for name, path in self._places.items() if path.exists()}

    def check_space(self, size_bytes: int) -> None:
        """Refuse where networks of this size would fill the disk.

        Raises:
            FileError: there is too little space, or no permission to write.
        """
        if self.writes:
            check_writable(self.path / MODEL, _NETWORKS * size_bytes + _PAGES_BYTES)

    def begin(self, recipe: str, keep: Collection[str] = ()) -> None:
        """Write the recipe, in the place of an earlier run, but for what is to `keep`; does nothing when done before.

        Raises:
            FileError: the folder cannot be written to.
        """
        if self._places:
            return
        try:
            gone = (self.path / name for name in _NAMES if name not in keep)
            for old in (*gone, *self.path.glob(ROUNDS.format("*"))):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{error.filename}: an earlier run's file cannot be removed: {error.strerror}.") from error
        write_text(self.place(RECIPE), recipe)

    def go_on(self, rounds: Iterable[int]) -> None:
        """Take the files of an earlier run as this one's, with those of its rounds; what comes later is replaced."""
        for name in (RECIPE, ORIGINAL, PROGRESS):
            self.place(name)
        for number in rounds:
            self.place_of_round(number)

    def finish(self) -> None:
        """Remove what only a run that goes on needs.

        Raises:
            FileError: it cannot be removed.
        """
        try:
            (self.path / PROGRESS).unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"{error.filename}: cannot be removed: {error.strerror}.") from error

    def place(self, name: str) -> Path:
        """Where a file of this run goes."""
        return self._places.setdefault(name, self.path / name)

    def place_of_round(self, number: int) -> Path:
        """Where the network after a round goes."""
        return self.place(ROUNDS.format(number))


@contextmanager
def run_folder(path: Path, *, force: bool, processes: Processes = ALONE) -> Iterator[RunFolder]:
    """A folder for a run, made where there is none, and gone again if nothing was written; the main process does that.

    Raises:
        FileError: it holds files that are no run (unless `force`), or cannot be made or written to.
    """
    is_new = processes.from_main(partial(_made, path, force=force)) and processes.is_main
    try:
        processes.from_main(partial(check_writable, path / MODEL))
        yield RunFolder(path, writes=processes.is_main)
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty: the run stays
                path.rmdir()


def _made(path: Path, *, force: bool) -> bool:
    """Make a folder where there is none; whether there was none."""
    is_new = not path.exists()
    _check_content(path, force=force)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{path}: cannot be made: {error.strerror}; give another folder.") from error
    return is_new


def _check_content(path: Path, *, force: bool) -> None:
    try:
        is_foreign = path.is_dir() and any(path.iterdir()) and not (path / RECIPE).exists()
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}; give another folder.") from error
    if is_foreign and not force:
        raise FileError(f"{path}: holds files that are no run; give another folder, or --force to write beside them.")
