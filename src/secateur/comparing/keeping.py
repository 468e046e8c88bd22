"""Finished cells of a comparison in this process, kept in a folder so that none is tried twice."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secateur import methods
from secateur.comparing.folder import CellFolder, Known, fingerprint, key_of
from secateur.comparing.trying import Subject, Tried
from secateur.comparison import Cell, Trial
from secateur.measurement import size_bytes
from secateur.plan import Plan
from secateur.scores import Method
from secateur.sharing import checksum


@dataclass(frozen=True)
class Keeping:
    """Where finished cells are kept, and what decides besides its recipe what becomes of one; None: they are not."""

    folder: CellFolder | None
    content: Mapping[str, Any]
    own: Sequence[Method]

    def known(self, cell: Cell) -> Known | None:
        """What became of a cell, where it was kept."""
        key = self._key(cell)
        return self.folder.read(key, cell) if self.folder and key else None

    def keep(self, cell: Cell, tried: Tried) -> Known:
        """What became of a cell, kept unless another attempt might end otherwise."""
        trial = replace(tried.trial, key=self._key(cell))
        if tried.is_final:
            self.write(trial, tried.plan)
        return trial, tried.plan

    def write(self, trial: Trial, plan: Plan | None) -> None:
        """Keep a trial under its key, if it has one."""
        if self.folder and trial.key:
            self.folder.write(trial, plan)

    def _key(self, cell: Cell) -> str:
        """The name that a cell is kept by; "" where that cannot say what its method does."""
        files = {
            one.name: _file(one) for one in self.own if not type(one).__module__.startswith(f"{methods.__name__}.")
        }
        used = [stage["method"] for stage in cell.recipe.get("stage", ()) if stage["method"] in files]
        if not all(files[name] for name in used):
            return ""
        return key_of(cell, {**self.content, "own": [fingerprint(files[name]) for name in used]})


def keeping_in(folder: Path | None, subject: Subject, own: Sequence[Method]) -> Keeping:
    """What keeps cells in a folder, which is made or gone on with.

    Raises:
        FileError: the folder holds something else, or cannot be written.
        SettingsError: it holds the comparison of another network or task.
    """
    if folder is None:
        return Keeping(None, {}, own)
    content = _content(subject)
    found = CellFolder(folder, content)
    found.begin(size_bytes(subject.model))
    return Keeping(found, content, own)


def _content(subject: Subject) -> dict[str, Any]:
    """What can be told of a network and its task: the weights, and what the network costs and does."""
    model, untouched = subject.model, subject.untouched
    figures = {name: f"{value:.6g}" for name, value in untouched.quality.items()}  # rounding may differ by threads
    costs = {"parameters": untouched.parameters, "macs": untouched.macs}
    return {
        "model": type(model).__name__,
        "weights": checksum(model),
        "metric": subject.task.metric,
        **costs,
        **figures,
    }


def _file(method: Method) -> str:
    """The file that defines a method; "" where there is none, as in a notebook."""
    return getattr(sys.modules.get(type(method).__module__), "__file__", None) or ""
