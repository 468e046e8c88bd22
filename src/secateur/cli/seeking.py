"""`secateur compress` without a method: from options to a goal, and from a goal to the recipe that is then done."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import typer
from torch import nn

from secateur.budget import Latency, Macs, Params
from secateur.cli.options import BYS, FINALISTS, RECOVERED, TRIALS, Amount, Choice, Given, Loop, Seek
from secateur.cli.recipes import budget_from, rate_of
from secateur.cli.runfolder import RECIPE
from secateur.errors import SettingsError, UnknownNameError
from secateur.processes import Processes
from secateur.recovery import Recovery
from secateur.report.figures import plural
from secateur.searching import Effort, Found, Goal, Style, Tried, Workshop, prepared, searched
from secateur.searching.exploring import study_of
from secateur.searching.goal import Limit
from secateur.searching.sensitivity import Watch
from secateur.task import Task


@dataclass(frozen=True)
class Wanted:
    """A search that is to be done before the line."""

    goal: Goal
    trials: int
    finalists: int
    study: Path | None
    recovery: Recovery
    protect: tuple[str, ...]
    multiple_of: int

    @property
    def data(self) -> dict[str, Any]:
        """All that decides what is found."""
        return {"goal": str(self.goal), "trials": self.trials, "finalists": self.finalists}


def wanted(given: Given, choice: Choice, amount: Amount, loop: Loop, seek: Seek) -> Wanted | None:
    """The search that the options ask for; None where they name a method or a recipe, or give no cost to meet.

    Raises:
        CompressionError: a setting is out of range.
    """
    members = family(amount, loop, seek)
    budget = members[0][1] if members else budget_from(amount)
    limited = isinstance(budget, Limit)
    is_open = choice.method is None and loop.recipe is None and not choice.set
    loops = loop.rounds is not None  # as much as holds, round by round
    if not is_open or not (limited or (budget is None and loop.max_drop is not None and not loops)):
        named = [f"--{name}" for name, value in asdict(seek).items() if value is not None]
        if named:
            why = "needs --macs, --params, --latency or --max-drop, and neither --method nor --recipe"
            raise typer.BadParameter(f"{' and '.join(named)}: a search {why}.")
        return None
    _check_open(loop)
    epochs = RECOVERED if loop.recover is None else loop.recover
    rate = rate_of(given, loop.learning_rate)
    precision = "bf16" if loop.bf16 else "no"
    return Wanted(
        goal=Goal(budget if limited else None, loop.max_drop),  # type: ignore[arg-type]
        trials=_positive("--trials", seek.trials, TRIALS),
        finalists=_positive("--finalists", seek.finalists, FINALISTS),
        study=seek.study,
        recovery=Recovery(
            epochs=epochs,
            learning_rate=rate,
            seed=given.seed,
            mixed_precision=precision,  # type: ignore[arg-type]
            ema_decay=loop.ema_decay or 0.0,
        ),
        protect=tuple(loop.protect),
        multiple_of=loop.multiple_of or 1,
    )


def family(amount: Amount, loop: Loop, seek: Seek) -> list[tuple[str, Limit]]:
    """The members of a family by their names, such as 2x, each with its limit; none where none is asked for.

    Raises:
        SettingsError: a factor is none, or given twice.
    """
    if seek.family is None:
        if seek.by is not None:
            raise typer.BadParameter("--by goes with --family.")
        return []
    if budget_from(amount) is not None or loop.max_drop is not None:
        raise typer.BadParameter("--family is a list of goals itself; leave out other budgets and --max-drop.")
    if (by := seek.by or BYS[0]) not in BYS:
        raise UnknownNameError("cost", by, BYS)
    factors = sorted(_factor(text) for text in seek.family.split(","))
    twice = next((one for one, other in pairwise(factors) if one == other), None)
    if twice is not None:
        raise SettingsError(f"--family {seek.family!r}: {twice:g}x is given twice; leave one out.")
    return [(f"{factor:g}x", _limit(by, 1.0 / factor)) for factor in factors]


def _factor(text: str) -> float:
    try:
        factor = float(text.strip().removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 1.0 < factor < inf:
        raise SettingsError(f"--family {text!r}: give factors above 1, such as 1.5x,2x,3x.")
    return factor


def _limit(by: str, share: float) -> Limit:
    match by:
        case "macs":
            return Macs(share)
        case "params":
            return Params(share)
    return Latency(share)


def check_alone(processes: Processes) -> None:
    """Refuse to search in several processes, which would each decide by their own clock.

    Raises:
        SettingsError: there are several.
    """
    if not processes.is_alone:
        raise SettingsError(
            f"a search works in one process, and {processes.size} were launched; search without the launcher, and give "
            f"the {RECIPE} that it writes to --recipe here, or name a --method."
        )


def found_by(wanted: Wanted, shop: Workshop, study: Path, seed: int) -> Found:
    """What the search finds for a network; what is tried is kept in a study, from which a stopped search goes on.

    Raises:
        CompressionError: nothing meets the goal (the message names what does), or Optuna is missing.
    """
    effort = Effort(trials=wanted.trials, finalists=wanted.finalists, seed=seed, study=wanted.study or study)
    return searched(shop, wanted.goal, effort)


def check_study(wanted: Wanted, shop: Workshop, seed: int) -> None:
    """Refuse a study that is named and is none, or another search's.

    Raises:
        SettingsError: it is another search's.
        FileError: it cannot be read or written.
    """
    if wanted.study is not None and wanted.study.exists():
        study_of(shop, wanted.goal, Effort(seed=seed, study=wanted.study))


def shop_for(wanted: Wanted, model: nn.Module, task: Task, watch: Watch) -> Workshop:
    """Where candidates are made: the network, scored by every method that can."""
    return Workshop(prepared(model, task, watch=watch), Style(wanted.protect, wanted.multiple_of, wanted.recovery))


def told(found: Found) -> list[str]:
    """What a search found, in a few lines."""
    whole = [one for one in found.tried if one.state == "whole"]
    (best,) = (one for one in found.tried if one.number == found.chosen)
    states = Counter(one.state for one in found.tried)
    counted = ", ".join(f"{number} {state}" for state, number in states.items())
    lines = [f"{plural(len(found.tried), 'candidate')} ({counted}); chosen is number {found.chosen}: {how(best)}"]
    alone = min((one for one in whole if (one.own or not one.temper) and not one.layers), key=_distance, default=best)
    if alone is not best:
        lines.append(
            f"before any training its outputs are {_distance(best):.3g} from the original's "
            f"({best.macs / found.macs:.0%} of the multiply-adds), those of the best method alone, {alone.method}, "
            f"{_distance(alone):.3g} ({alone.macs / found.macs:.0%})"
        )
    return [*lines, *found.notes]


def how(one: Tried) -> str:
    """How a candidate is made."""
    spread = f"spread by what each site is worth ({one.temper:.0%})" if one.temper else "the same share of every site"
    spread = "its own order over all sites" if one.own else spread
    layers = f", after {one.layers} times some layers became one" if one.layers else ""
    return f"{one.method}, {spread}{layers}"


def as_data(found: Found, goal: Goal) -> dict[str, Any]:
    """All that was tried, as plain data; the recipe is elsewhere."""
    data = {field.name: getattr(found, field.name) for field in fields(found) if field.name not in ("recipe", "notes")}
    return {"goal": str(goal), **data, "tried": [asdict(one) for one in found.tried]}


def reread(path: Path) -> dict[str, Any]:
    """What a search wrote before its run was ended; nothing where the file is gone or damaged: it is only told of."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _distance(one: Tried) -> float:
    return inf if one.distance is None else one.distance


def _check_open(loop: Loop) -> None:
    """Refuse what a search decides itself, or does in another way."""
    given = {
        "--rounds": loop.rounds not in (None, 1),
        "--compensate": loop.compensate not in (None, "reconstruct"),
        "--become": loop.become is not None,
        "--one-by-one": loop.one_by_one,
        "--no-fold": loop.no_fold,
        "--stability": loop.stability,
    }
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise typer.BadParameter(f"{' and '.join(named)}: a search decides this; leave it out, or name a --method.")


def _positive(option: str, number: int | None, usual: int) -> int:
    if number is None:
        return usual
    if number < 1:
        raise SettingsError(f"{option} is {number}; give at least 1.")
    return number
