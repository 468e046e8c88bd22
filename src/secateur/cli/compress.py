"""`secateur compress`: the whole line."""

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secateur.cli.grouping import INTERRUPTED
from secateur.cli.options import TRAINED, Amount, Choice, Given
from secateur.cli.screen import Screen

if TYPE_CHECKING:
    from secateur.recipe import Recipe, Stage

_loop = partial(typer.Option, rich_help_panel="How it goes")
_place = partial(typer.Option, rich_help_panel="Run folder")

RECOVERED = 3  # epochs
DROP = 1.0  # points, where neither a budget nor a drop is given
MOST, MOST_ROUNDS = 0.95, 8  # what is tried then


@dataclass(frozen=True)
class Loop:
    """The stage's other settings."""

    rounds: Annotated[
        int | None,
        _loop(help="Remove in so many rounds, each followed by recovery.", show_default="1; 8 without a budget"),
    ] = None
    max_drop: Annotated[
        float | None,
        _loop(
            metavar="POINTS",
            help="Keep the last round that loses no more validation quality than this (accuracy in %, 100 · R²).",
            show_default="any; 1 without a budget",
        ),
    ] = None
    compensate: Annotated[
        str | None,
        _loop(
            metavar="HOW", help="none, mean, least_squares or reconstruct, before training.", show_default="reconstruct"
        ),
    ] = None
    recover: Annotated[
        int | None,
        _loop(metavar="EPOCHS", help="Training after each round, the original as teacher.", show_default="3"),
    ] = None
    recipe: Annotated[
        Path | None, _loop(metavar="FILE.toml", help="Stages, methods and budgets from a file instead.")
    ] = None
    protect: Annotated[
        list[str], _loop(metavar="PATTERN", help="Sites that lose nothing, such as 'layers.0.*'; may be repeated.")
    ] = field(default_factory=list)
    one_by_one: Annotated[bool, _loop("--one-by-one", help="Score anew after each site.")] = False
    train: Annotated[
        int | None,
        _loop(metavar="EPOCHS", help="Train the original first.", show_default="20 for zoo models without --weights"),
    ] = None
    from_scratch: Annotated[
        bool, _loop("--from-scratch", help="Also train the final shape from random weights, as a control.")
    ] = False


@dataclass(frozen=True)
class Place:
    """The run folder."""

    out: Annotated[Path, _place(metavar="DIR", help="Gets the network, plan, result, report, recipe and ONNX file.")]
    force: Annotated[bool, _place("--force", help="Write to DIR even if it holds other files.")] = False


def compress(given: Given, choice: Choice, amount: Amount, loop: Loop, place: Place, screen: Screen) -> None:
    r"""Do the whole line: score, choose, cut, compensate, recover, measure; and write a run folder.

    Without a budget as much goes as holds: 95 % of the units in 8 rounds, up to the last round that loses no more than
    --max-drop. With one, all of it goes, unless --max-drop is given too. Each cut is proven exact before it is built
    upon. The network after each kept round is written at once; Ctrl-C in training ends the run with what is finished.

    Example:
      secateur compress --model "zoo:mlp?hidden=256,256" --data sklearn:digits \
        --remove 70% --rounds 2 --out runs/digits
      secateur compress --model mine.py:build --weights mine.pth \
        --data "csv:table.csv?target=label" --max-drop 0.5 --out runs/mine
    """
    from secateur.cli.running import Job, run
    from secateur.cli.summary import summary

    recipe = _recipe(given, choice, amount, loop)
    finished = run(Job(given, recipe, place.out, place.force, loop.train), screen)
    screen.show(finished.data, *summary(finished))
    if finished.interrupted:
        screen.say("interrupted: what was finished is kept and written.")
        raise typer.Exit(INTERRUPTED)


def _recipe(given: Given, choice: Choice, amount: Amount, loop: Loop) -> "Recipe":
    from secateur.cli.recipes import budget_from
    from secateur.recipe import Recipe, read
    from secateur.recovery import Recovery

    if loop.recipe is not None:
        _check_alone(choice, amount, loop)
        recipe = read(loop.recipe)
    elif (budget := budget_from(amount)) is not None:
        recipe = Recipe((replace(_stage(given, choice, loop), budget=budget),))
    else:
        recipe = _as_much_as_holds(_stage(given, choice, loop), loop)
    if loop.max_drop is not None:
        recipe = replace(recipe, max_drop=loop.max_drop)
    if loop.from_scratch:
        recipe = replace(recipe, from_scratch=Recovery(epochs=loop.train or TRAINED, seed=given.seed))
    return recipe


def _check_alone(choice: Choice, amount: Amount, loop: Loop) -> None:
    """Refuse what the recipe's stages say themselves."""
    whole = asdict(choice) | asdict(amount) | asdict(loop)
    beside = ("recipe", "max_drop", "train", "from_scratch")
    given = [f"--{name.replace('_', '-')}" for name, value in whole.items() if value and name not in beside]
    if given:
        raise typer.BadParameter(f"--recipe says this itself; leave out {' and '.join(given)}.")


def _as_much_as_holds(stage: "Stage", loop: Loop) -> "Recipe":
    """Round after round, as long as the quality holds."""
    from secateur.budget import Share
    from secateur.recipe import Recipe

    rounds = loop.rounds or MOST_ROUNDS
    drop = DROP if loop.max_drop is None else loop.max_drop
    return Recipe((replace(stage, budget=Share(MOST), rounds=rounds),), max_drop=drop)


def _stage(given: Given, choice: Choice, loop: Loop) -> "Stage":
    from secateur.cli.recipes import method_of
    from secateur.recipe import Stage
    from secateur.recovery import Recovery

    epochs = RECOVERED if loop.recover is None else loop.recover
    return Stage(
        method=method_of(choice),
        rounds=1 if loop.rounds is None else loop.rounds,
        compensate=loop.compensate or "reconstruct",  # type: ignore[arg-type]
        recovery=Recovery(epochs=epochs, seed=given.seed),
        protect=tuple(loop.protect),
        one_by_one=loop.one_by_one,
    )
