"""Candidates drawn by Optuna, and kept in a journal that a stopped search goes on from and several can share."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState

from secateur.budget import Macs
from secateur.errors import FileError, SettingsError
from secateur.searching.allocation import Shape
from secateur.searching.bench import Bench
from secateur.searching.candidates import Candidate, Style
from secateur.searching.goal import Goal
from secateur.searching.outcome import Tried
from secateur.sharing import checksum

LEAST_LEFT, HALF = 0.1, 0.5  # of the multiply-adds, where the goal sets no limit
_RECORD = "record"
_OWNER = "owner"
_FIRST = b'{"op_code":'  # how Optuna begins every line of a journal

Objective = Callable[[Candidate, int, Callable[[float], bool]], Tried]


@dataclass(frozen=True)
class Study:
    """An Optuna study of candidates under a goal."""

    study: optuna.Study
    goal: Goal
    space: Mapping[str, BaseDistribution]

    @property
    def tried(self) -> tuple[Tried, ...]:
        """What became of all finished candidates, of this process and others."""
        records = [trial.user_attrs.get(_RECORD) for trial in self.study.trials]
        return tuple(Tried(**record) for record in records if record is not None)

    def first(self, some: Sequence[Mapping[str, Any]]) -> None:
        """Try some candidates before any others, if they have not been tried; what they leave open is nought."""
        for params in some:
            whole = {name: params.get(name, _nought(space)) for name, space in self.space.items()}
            if self.goal.limit is None:
                whole["share"] = HALF
            self.study.enqueue_trial(whole, skip_if_exists=True)

    def run(self, objective: Objective, until: int, see: Callable[[int], None]) -> None:
        """Try candidates until so many have finished, counting those of other processes."""
        with _quiet():
            while (done := len(self.tried)) < until:
                see(done)
                self._one(objective)
            see(until)

    def _one(self, objective: Objective) -> None:
        trial = self.study.ask(dict(self.space))
        found = objective(self._candidate(trial), trial.number, lambda distance: self._goes_on(trial, distance))
        trial.set_user_attr(_RECORD, asdict(found))
        match found.state:
            case "whole":
                assert found.distance is not None
                values = found.distance if self.goal.limit is not None else (found.distance, float(found.macs))
                self.study.tell(trial, values)
            case "cut short":
                self.study.tell(trial, state=TrialState.PRUNED)
            case _:
                self.study.tell(trial, state=TrialState.FAIL)

    def _goes_on(self, trial: optuna.Trial, distance: float) -> bool:
        if self.goal.limit is None:
            return True  # with two aims, what is far from the original may be cheap
        trial.report(distance, 0)
        return not trial.should_prune()

    def _candidate(self, trial: optuna.Trial) -> Candidate:
        params = trial.params
        shape = Shape(params["temper"], params["slope"], params["bare"], params["own"])
        limit = self.goal.limit if self.goal.limit is not None else Macs(params["share"])
        return Candidate(params["method"], shape, limit, params.get("layers", 0))


def opened(bench: Bench, goal: Goal, style: Style, seed: int, path: Path | None) -> Study:
    """A new study, or the one in a journal.

    Raises:
        SettingsError: the journal is of another model, task or goal.
        FileError: it cannot be read or written.
    """
    with _quiet():
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(bench.base.scores) + 6)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=len(bench.base.scores))
        directions: list[Literal["minimize", "maximize"]] = (
            ["minimize"] if goal.limit is not None else ["minimize", "minimize"]
        )
        try:
            storage = None if path is None else _journal(path)
            study = optuna.create_study(
                storage=storage,
                sampler=sampler,
                pruner=pruner,
                directions=directions,
                study_name="secateur",
                load_if_exists=True,
            )
        except OSError as error:
            raise FileError(
                f"{path}: cannot be written: {error.strerror}; give another place for the study."
            ) from error
        except (ValueError, KeyError) as error:
            raise FileError(f"{path}: this is no study of secateur, or damaged; give another file.") from error
        owner = _owner(bench, goal, style)
        found = study.user_attrs.get(_OWNER)
        if found is not None and found != owner:
            raise SettingsError(f"{path}: is the study of another network, data or goal; give another file.")
        study.set_user_attr(_OWNER, owner)
    return Study(study, goal, _space(bench, goal))


def _journal(path: Path) -> JournalStorage:
    """The journal in a file; a line that a kill left unfinished goes, which Optuna would write on.

    Raises:
        ValueError: the file is no journal; it is as it was.
        OSError: it cannot be read or written.
    """
    lock = JournalFileSymlinkLock(str(path))
    if path.exists():
        lock.acquire()
        try:
            content = path.read_bytes()
            if content and not content.startswith(_FIRST):
                raise ValueError("it does not begin as a journal does")
            os.truncate(path, content.rfind(b"\n") + 1)
        finally:
            lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock))


def _space(bench: Bench, goal: Goal) -> dict[str, BaseDistribution]:
    space: dict[str, BaseDistribution] = {
        "method": CategoricalDistribution(list(bench.base.scores)),
        "temper": FloatDistribution(0.0, 1.0),
        "slope": FloatDistribution(-1.5, 1.5),
        "bare": FloatDistribution(-2.0, 4.0),
        "own": CategoricalDistribution([False, True]),
    }
    if len(bench.layers) > 1:
        space["layers"] = CategoricalDistribution(list(bench.layers))
    if goal.limit is None:
        space["share"] = FloatDistribution(LEAST_LEFT, 1.0)
    return space


def _nought(space: BaseDistribution) -> Any:
    return space.choices[0] if isinstance(space, CategoricalDistribution) else 0.0


def _owner(bench: Bench, goal: Goal, style: Style) -> str:
    """What a study belongs to: the weights, the rows candidates are compared on, the goal."""
    rows = (bench.rows, len(bench.batches), bench.quality)
    terms = (checksum(bench.base.model), repr(goal), style.protect, style.multiple_of, *rows)
    return hashlib.sha256(repr(terms).encode()).hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log and its warnings about what it calls experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
