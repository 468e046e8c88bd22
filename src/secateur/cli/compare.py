"""`secateur compare`: methods under budgets on one network, on equal terms."""

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import alike
from secateur.cli.options import Given
from secateur.cli.screen import Screen

_tried = partial(typer.Option, rich_help_panel="What is tried: lists, with commas")
_BUDGETS, _TERMS = "Budgets: lists, with commas; each is a block of the table", "What is the same for all"
_amount = partial(typer.Option, rich_help_panel=_BUDGETS)
_place = partial(typer.Option, rich_help_panel="Folder")


@dataclass(frozen=True)
class Lists:
    """What is tried, as written."""

    methods: Annotated[
        str,
        _tried(
            metavar="NAMES", help="See `secateur methods`, such as ocnna,magnitude,chance; or your own, FILE.py:CLASS."
        ),
    ]
    compensate: Annotated[
        str, _tried(metavar="HOWS", help="none, mean, least_squares or reconstruct, before training.")
    ] = "reconstruct"
    recover: Annotated[
        str, _tried(metavar="EPOCHS", help="Training after the cut, the untouched network as teacher.")
    ] = "0"
    seeds: Annotated[int, _tried(help="Seeds for what is random: training, and methods that draw.")] = 3
    set: Annotated[
        list[str], _tried("--set", metavar="METHOD.NAME=VALUE", help="A setting of a method; may be repeated.")
    ] = field(default_factory=list)


@dataclass(frozen=True)
class Budgets:
    """The budgets, as written; each field is named as in a recipe."""

    macs: Annotated[
        str | None, _amount(metavar="AMOUNTS", help="Multiply-adds per row that may be LEFT: 50%,30%, or 2M.")
    ] = None
    params: Annotated[str | None, _amount(metavar="AMOUNTS", help="Parameters that may be LEFT: 50%,30%, or 20k.")] = (
        None
    )
    latency: Annotated[
        str | None,
        _amount(metavar="TIMES", help="Times that a call of one row may take, as predicted: 0.6x,0.4x, or 12ms."),
    ] = None
    share: Annotated[
        str | None, _amount("--remove", metavar="SHARES", help="Shares of the units, or layers, that go: 40%,60%.")
    ] = None
    of: Annotated[str | None, alike.of(rich_help_panel=_BUDGETS)] = None


@dataclass(frozen=True)
class Terms:
    """What is the same for all."""

    rounds: Annotated[int, alike.rounds(rich_help_panel=_TERMS)] = 1
    learning_rate: Annotated[float | None, alike.learning_rate(rich_help_panel=_TERMS)] = None
    protect: Annotated[list[str], alike.protect(rich_help_panel=_TERMS)] = field(default_factory=list)
    multiple_of: Annotated[int, alike.multiple_of(rich_help_panel=_TERMS)] = 1
    train: Annotated[int | None, alike.train(rich_help_panel=_TERMS)] = None


@dataclass(frozen=True)
class Where:
    """The folder, and how many processes."""

    out: Annotated[
        Path, _place(metavar="DIR", help="Gets the table, the page, and every cell; what it holds is not tried again.")
    ]
    jobs: Annotated[
        int | None,
        _place(help="Cells at a time, each in a process of one thread.", show_default="the cores; 1 with --latency"),
    ] = None


def compare(given: Given, lists: Lists, budgets: Budgets, terms: Terms, where: Where, screen: Screen) -> None:
    r"""Compare methods under budgets on one network and its data, on equal terms: a table, a page, a winner each.

    Every method is tried under every budget, with each compensation and each length of recovery; what is random in it,
    with several seeds. The network before is the first row. A combination that fails stays in the table, with its
    reason. What is finished is kept in the folder and never done twice: after a kill, or with more methods, the same
    command only does what is missing.

    Example:
      secateur compare --model "zoo:mlp?hidden=256,256" --data sklearn:digits \
        --methods dense,magnitude,chance --macs 50%,20% --recover 0,1 \
        --compensate none,reconstruct --out runs/compare
      secateur compare --model mine.py:build --weights mine.pth \
        --data mine.py:task --methods ocnna,magnitude,chance --macs 50% \
        --out runs/mine
    """
    from secateur.cli.cells.lists import grid_of
    from secateur.cli.cells.table import tables
    from secateur.cli.cells.whole import Job, run
    from secateur.cli.recipes import rate_of
    from secateur.errors import SettingsError
    from secateur.recipe import Stage
    from secateur.recovery import Recovery

    rate = rate_of(given, terms.learning_rate)
    stage = Stage(
        rounds=terms.rounds,
        recovery=Recovery(learning_rate=rate, seed=given.seed),
        protect=tuple(terms.protect),
        multiple_of=terms.multiple_of,
    )
    grid = replace(grid_of(lists, budgets), stage=stage)
    jobs = (os.cpu_count() or 1) if where.jobs is None else where.jobs
    if jobs < 1:
        raise SettingsError(f"--jobs is {jobs}; give at least 1.")
    if budgets.latency is not None:
        jobs = 1  # operators are timed as they are met, when nothing else may run
    done = run(Job(given, grid, where.out, jobs, terms.train, rate), screen)
    screen.show(done.data, *tables(done))
    if all(trial.failure for trial in done.comparison.trials):
        raise typer.Exit(1)
