"""The folder of a run: what is in it, and how it comes to be there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from secateur.cli.places import check_writable, write_text
from secateur.errors import FileError

RECIPE, ORIGINAL, MODEL, PLAN = "recipe.toml", "original.safetensors", "model.safetensors", "plan.json"
ONNX, RESULT, REPORT = "model.onnx", "result.json", "report.html"
_NAMES = (RECIPE, ORIGINAL, MODEL, PLAN, ONNX, RESULT, REPORT)
_ROUNDS = "round-{}.safetensors"
_FILES = 4  # of the weights' size: the model, a round, ONNX, and one more while it is written


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run; an earlier run's files go when the first file of this one is written."""

    path: Path
    written: dict[str, Path] = field(default_factory=dict)

    def prepare(self, size_bytes: int, *, force: bool) -> None:
        """Make the folder, and refuse one that holds something else or cannot be written to.

        Raises:
            FileError: it is so, or there is too little space for networks of this size.
        """
        if self.path.is_dir() and any(self.path.iterdir()) and not force and not (self.path / RECIPE).exists():
            raise FileError(f"{self.path}: holds files that are no run; give another folder, or --force to write there.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{self.path}: cannot be made: {error.strerror}; give another folder.") from error
        check_writable(self.path / MODEL, _FILES * size_bytes)

    def begin(self, recipe: str) -> None:
        """Write the recipe, in the place of an earlier run."""
        if self.written:
            return
        for old in (*(self.path / name for name in _NAMES), *self.path.glob(_ROUNDS.format("*"))):
            old.unlink(missing_ok=True)
        write_text(self.place(RECIPE), recipe)

    def place(self, name: str) -> Path:
        """Where a file of this run goes."""
        self.written[name] = self.path / name
        return self.path / name

    def place_of_round(self, number: int) -> Path:
        """Where the network after a round goes."""
        return self.place(_ROUNDS.format(number))

    @property
    def files(self) -> Mapping[str, str]:
        """The files of this run that are there."""
        return {name: str(path) for name, path in self.written.items() if path.exists()}
