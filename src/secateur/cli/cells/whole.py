"""A whole comparison: from addresses and a grid to a folder with the table and the page."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from secateur.cli.cells.pool import starter, tried
from secateur.cli.interrupts import noticing_interrupts
from secateur.cli.opening import Network, opened
from secateur.cli.opening import network as read
from secateur.cli.options import Given
from secateur.cli.screen import Bars, Screen
from secateur.comparing import Grid, Subject, Tried, concluded, subject_of, timed, try_cell
from secateur.comparing.folder import CellFolder, fingerprint, key_of
from secateur.comparison import Cell, Comparison, Trial, to_json
from secateur.data import Data
from secateur.measurement import size_bytes
from secateur.plan import Plan
from secateur.recovery import Recovery, train
from secateur.report.figures import plural
from secateur.sharing import checksum

Known = tuple[Trial, Plan | None]


@dataclass(frozen=True)
class Job:
    """What is to be compared, on how many processes; `train` None trains what has no weights."""

    given: Given
    grid: Grid
    out: Path
    jobs: int
    train: int | None
    learning_rate: float


@dataclass(frozen=True)
class Done:
    """A comparison, the files it left, and how many of its cells were known already."""

    comparison: Comparison
    files: dict[str, str]
    known: int

    @property
    def data(self) -> dict[str, Any]:
        """All of it as plain data: what `comparison.json` holds, and the files."""
        return {**json.loads(to_json(self.comparison)), "files": self.files, "known": self.known}


@dataclass(frozen=True)
class _Line:
    """What the steps of a comparison share."""

    subject: Subject
    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    folder: CellFolder
    bars: Bars


def run(job: Job, screen: Screen) -> Done:
    """Try what the folder does not know yet, time it, rank it, and write everything.

    Raises:
        CompressionError: something is refused; what was finished before stays in the folder.
        KeyboardInterrupt: Ctrl-C ended it; the message says what is there.
    """
    cells = job.grid.cells
    with screen.progress("reading") as bars, noticing_interrupts() as interrupted:
        network, data = opened(job.given)
        training = Recovery(epochs=_epochs(job, network), learning_rate=job.learning_rate, seed=job.given.seed)
        folder = CellFolder(job.out, _about(job, network, data))
        folder.begin(size_bytes(network.model))
        given, network, notes = _trained(job, network, data, training, folder, bars)
        content = _content(job, network, data)
        line = _Line(
            subject_of(network.model, data.task), cells, tuple(key_of(one, content) for one in cells), folder, bars
        )
        found = {number: known for number, known in enumerate(_known(line)) if known is not None}
        already = len(found)
        try:
            for number, one in _tried(line, [n for n in range(len(cells)) if n not in found], given, job.jobs):
                if interrupted():
                    raise KeyboardInterrupt
                found[number] = _kept(line, number, one)
                bars.doing("trying cells", len(found), len(cells))
            comparison = _concluded(line, [found[number] for number in range(len(cells))], job, notes)
        except KeyboardInterrupt as stop:
            left = f"{len(found)} of {plural(len(cells), 'cell')} are kept in {job.out}"
            raise KeyboardInterrupt(f"interrupted; {left}: the same command goes on there.") from stop
        return Done(comparison, folder.finish(comparison), already)


def _about(job: Job, network: Network, data: Data) -> dict[str, Any]:
    """What is the same for all that is ever tried in a folder."""
    given, epochs = job.given, _epochs(job, network)
    about: dict[str, Any] = {"model": network.builder, "data": given.data, "seed": given.seed}
    about |= {"batch size": given.batch_size, "train": epochs, "weights": checksum(network.model)}
    if epochs:
        about |= {"rows": dict(data.rows), "learning rate": job.learning_rate, "files": _files(given)}
    return about


def _content(job: Job, network: Network, data: Data) -> dict[str, Any]:
    """What decides, besides its recipe, what becomes of a cell."""
    given = job.given
    content: dict[str, Any] = {
        "model": network.builder,
        "weights": checksum(network.model),
        "data": given.data,
        "rows": dict(data.rows),
    }
    return content | {"seed": given.seed, "batch size": given.batch_size, "files": _files(given)}


def _files(given: Given) -> list[str]:
    return [fingerprint(address) for address in (given.model, given.data) if address]


def _epochs(job: Job, network: Network) -> int:
    return job.train if job.train is not None else network.usual_epochs


def _trained(
    job: Job, network: Network, data: Data, training: Recovery, folder: CellFolder, bars: Bars
) -> tuple[Given, Network, tuple[str, ...]]:
    """The network that is compared with, how other processes open it, and what was done for it."""
    if training.epochs == 0:
        return job.given, network, () if network.has_weights else ("the network has random weights",)
    place = folder.original
    if not place.exists():
        bars.doing(f"training the network for {training.epochs} epochs")
        done = train(network.model, data.task, training, watch=bars)
        if done.interrupted:
            raise KeyboardInterrupt("interrupted in training; the same command begins it anew.")
        network.changed(done.model).save(place)
    note = f"the network was trained for {plural(training.epochs, 'epoch')} first ({place.name})"
    return replace(job.given, weights=place), read(job.given, data, place), (note,)


def _known(line: _Line) -> Iterator[Known | None]:
    """What the folder knows of every cell."""
    for key, cell in zip(line.keys, line.cells, strict=True):
        yield line.folder.read(key, cell)


def _tried(line: _Line, numbers: Sequence[int], given: Given, jobs: int) -> Iterator[tuple[int, Tried]]:
    """Each of some cells' number with what becomes of it: here, one by one, or in processes, as they finish."""
    line.bars.doing("trying cells", len(line.cells) - len(numbers), len(line.cells))
    if min(jobs, len(numbers)) < 2:
        for number in numbers:
            yield number, try_cell(line.subject, line.cells[number], watch=line.bars)
        return
    cells = [line.cells[number] for number in numbers]
    for place, one in tried(cells, jobs, starter(given, line.subject.untouched)):
        yield numbers[place], one


def _kept(line: _Line, number: int, one: Tried) -> Known:
    """What became of a cell, under its key; in the folder, unless another attempt might end otherwise."""
    trial = replace(one.trial, key=line.keys[number])
    if one.is_final:
        line.folder.write(trial, one.plan)
    return trial, one.plan


def _concluded(line: _Line, found: Sequence[Known], job: Job, notes: tuple[str, ...]) -> Comparison:
    """The comparison, after everything was timed while nothing else runs."""
    plans = {trial.shape: plan for trial, plan in found if plan is not None}
    done: list[Trial] = []

    def on_timed(trial: Trial) -> None:
        done.append(trial)
        line.folder.write(trial, plans[trial.shape])
        line.bars.doing("timing networks", len(done), len(found))

    line.bars.doing("timing networks", 0, len(found))
    subject = line.subject
    trials = timed(subject.model, subject.task, [trial for trial, _ in found], plans, on_timed=on_timed)
    given = job.given
    settings: dict[str, Any] = {"model": given.model, "weights": str(given.weights) if given.weights else None}
    settings |= {"data": given.data, "seed": given.seed, "batch_size": given.batch_size, "seeds": job.grid.seeds}
    return concluded(subject, trials, settings=settings, notes=notes)
