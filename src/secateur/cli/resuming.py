"""Going on with a run that was ended from outside: what its folder must hold, and say."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from secateur.cli.opening import Network
from secateur.cli.options import Given
from secateur.cli.runfolder import PROGRESS, RESULT, ROUNDS, RunFolder
from secateur.comparing.folder import fingerprint
from secateur.data import Data
from secateur.difference import difference
from secateur.errors import FileError, SettingsError
from secateur.files import clear_drafts, reading
from secateur.methods import address
from secateur.pipeline import Place, Progress
from secateur.places import write_text
from secateur.recipe import Recipe, to_dict
from secateur.report.reading import read
from secateur.result import Result, to_json
from secateur.sharing import checksum
from secateur.userfile import split

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Saved:
    """A run's progress as its folder tells it, and the file with the network after its last round."""

    found: Result[None]
    place: Place
    network: Path

    def progress(self, model: nn.Module) -> Progress:
        """The progress, with the network that was read from the file."""
        one = self.found
        return Progress(model, one.plan, one.steps, one.rounds, one.notes, self.place)


@dataclass(frozen=True)
class Log:
    """What a run writes down on its way: its folder, what it is, and where it goes on, if it does."""

    folder: RunFolder
    run: Run
    start: Saved | None


def run_of(given: Given, recipe: Recipe, train: int | None, network: Network, data: Data) -> Run:
    """All that decides what a run finds, as plain data; the weights by their checksum."""
    return {
        "recipe": to_dict(recipe),
        "model": network.builder,
        "weights": checksum(network.model),
        "data": given.data,
        "rows": dict(data.rows),
        "seed": given.seed,
        "batch size": given.batch_size,
        "train": train,
        **_contents(given, recipe),
    }


def _contents(given: Given, recipe: Recipe) -> Mapping[str, str]:
    """The checksums of a user's own files that say what a method, the model or the data is."""
    used = (*(address(stage.method) for stage in recipe.stages), given.model, given.data)
    return {f"{found[0]} with checksum": fingerprint(one) for one in used if one and (found := split(one))}


def save(progress: Progress, run: Run, folder: RunFolder) -> None:
    """Write how far a run has come, after the network of its last round; a result that has not all its fields yet."""
    network = folder.place_of_round(progress.rounds[-1].number)
    settings = {
        "run": run,
        "place": asdict(progress.place),
        "network": {"file": network.name, "sha256": _checksum(network)},
    }
    result = Result(
        model=None,
        method="",
        metric="",
        steps=progress.steps,
        rounds=progress.rounds,
        widths={},
        plan=progress.plan,
        settings=settings,
        notes=progress.notes,
    )
    write_text(folder.place(PROGRESS), to_json(result))


def saved(folder: RunFolder, run: Run) -> Saved | None:
    """The progress of the same run in a folder; None where no round was finished. What was half written goes.

    Raises:
        FileError: the folder's run is finished, or a file is damaged.
        SettingsError: it is another run.
    """
    path = folder.path / PROGRESS
    if folder.writes:
        clear_drafts(folder.path)
    if not path.exists():
        if (folder.path / RESULT).exists():
            raise FileError(f"{folder.path}: its run is over, with no round to go on from; leave out --resume.")
        return None
    found = read(path)
    try:
        settings = found.settings
        place = Place(**{name: int(number) for name, number in settings["place"].items()})
        before, name, sha256 = dict(settings["run"]), settings["network"]["file"], settings["network"]["sha256"]
        number = found.rounds[-1].number
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileError(f"{path}: not what --resume needs ({error!r}); leave out --resume to begin anew.") from error
    _check_same(before, run, folder.path)
    network = folder.path / ROUNDS.format(number)
    if network.name != name or _checksum(network) != sha256:
        raise FileError(f"{network}: not the network of round {number} that {PROGRESS} tells of; leave out --resume.")
    folder.go_on(one.number for one in found.rounds)
    return Saved(found, place, network)


def _check_same(before: Run, now: Run, folder: Path) -> None:
    """Refuse to go on with another run, naming the first thing that differs."""
    odd = difference(before, now)
    if odd is not None:
        raise SettingsError(
            f"{folder}: cannot be resumed: its run has {odd}; give the same command, or leave out --resume to begin "
            "anew."
        )


def _checksum(path: Path) -> str:
    with reading(path) as source, source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
