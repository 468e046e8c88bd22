"""Commands of the command line, run in this process, and small files to run them on."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secateur.cli import running
from secateur.cli.app import app

MODEL = ("--model", "mine.py:build")
DATA = ("--data", "mine.py:task")
MINE = """
import torch
from torch import nn
from secateur import Task

generator = torch.Generator().manual_seed(1)
X = torch.randn(120, 4, generator=generator)
Y = (X[:, 0] * X[:, 1] > 0).long()


def build():
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2))


def task(rows=60, spoilt=False, calibration=None, validation=True):
    x = X.clone()
    if spoilt:
        x[7, 2] = float("nan")
    return Task.classification(
        train=[(x[:rows], Y[:rows])],
        calibration=None if calibration is None else [(x[:calibration], Y[:calibration])],
        validation=[(x[60:90], Y[60:90])] if validation else None,
        test=[(x[90:], Y[90:])],
    )


def spoilt():
    return task(spoilt=True)


def one_row():
    return task(calibration=1)


def unjudged():
    return task(validation=False)


def long():
    return Task.classification(train=[(X, Y)] * 40, validation=[(X, Y)])


class Sorted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 12), nn.Linear(12, 2)

    def forward(self, x):
        return self.outer(torch.sort(self.inner(x), -1).values)


def rigid():
    return Sorted()


def no_model():
    return 3
"""


def settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Go into a folder that has a user's file in it."""
    patch.chdir(folder)
    (folder / "mine.py").write_text(MINE)


def quicken(patch: pytest.MonkeyPatch) -> None:
    """No ONNX, which takes seconds (runs in processes of their own have it), and no long look at the clock."""
    patch.setattr(running, "export_onnx", lambda _, path, __: float(path.write_bytes(b"ONNX")))
    patch.setattr("secateur.measurement.latency._SECONDS", 0.01)


def run(*arguments: object) -> Any:
    """The outcome of a command; what it does not expect is raised."""
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="secateur")
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def done(*arguments: object) -> str:
    """What a command that must succeed prints on stdout."""
    outcome = run(*arguments)
    assert outcome.exit_code == 0, outcome.stderr
    return str(outcome.stdout)


def data(*arguments: object) -> Any:
    """What a command that must succeed prints as JSON."""
    return json.loads(done(*arguments, "--json"))


def refusal(*arguments: object) -> str:
    """The one line with which a command is refused; it has written nothing in the current folder."""
    before = _files()
    outcome = run(*arguments)
    assert outcome.exit_code == 1, outcome.stdout
    assert outcome.stdout == ""
    line, *more = outcome.stderr.splitlines()
    assert more == []
    assert line.startswith("error: ")
    assert _files() == before
    return str(line.removeprefix("error: "))


def _files() -> dict[Path, bytes]:
    """All files but the caches that importing a file leaves."""
    found = (path for path in Path.cwd().rglob("*") if "__pycache__" not in path.parts)
    return {path: path.read_bytes() if path.is_file() else b"" for path in found}
