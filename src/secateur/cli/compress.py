"""`secateur compress`: the whole line."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secateur.cli.grouping import INTERRUPTED
from secateur.cli.options import Amount, Choice, Given, Loop, Seek
from secateur.cli.screen import Screen

if TYPE_CHECKING:
    from secateur.cli.family import Family
    from secateur.cli.running import Finished

_place = partial(typer.Option, rich_help_panel="Run folder")


@dataclass(frozen=True)
class Place:
    """The run folder."""

    out: Annotated[Path, _place(metavar="DIR", help="Gets the network, plan, result, report, recipe and ONNX file.")]
    force: Annotated[bool, _place("--force", help="Write to DIR even if it holds other files.")] = False
    resume: Annotated[
        bool,
        _place("--resume", help="Go on with the run in DIR: its command again, after its last finished round."),
    ] = False


def compress(  # noqa: PLR0913 - one group of options each
    *, given: Given, choice: Choice, amount: Amount, loop: Loop, seek: Seek, place: Place, screen: Screen
) -> None:
    r"""Do the whole line: score, choose, cut, compensate, recover, measure; and write a run folder.

    Without a method, --macs, --params or --latency (what may be left), --max-drop (what may be lost) or both are a
    goal: methods, shares of every site and layers to collapse are searched for the best network under it. With a method
    all of a budget goes, unless --max-drop is given too; with neither, or --max-drop and --rounds, as much as
    holds: 95 % of the units in 8 rounds.

    Each cut is proven exact before it is built upon. The network after each kept round is written at once; Ctrl-C in
    training ends the run with what is finished. After a kill the same command with --resume goes on, to the same end.

    Example:
      secateur compress --model "zoo:mlp?hidden=256,256" --data sklearn:digits \
        --remove 70% --rounds 2 --out runs/digits
      secateur compress --model mine.py:build --weights mine.pth \
        --data "csv:table.csv?target=label" --max-drop 0.5 --out runs/mine
      secateur compress --model zoo:resnet20 --weights resnet20.th \
        --data cifar10:DIR --macs 50% --max-drop 1 --recover 1 --out runs/resnet20
      secateur compress --model hf:DIR --data glue/sst2:DIR --method magnitude \
        --remove 50% --recover 2 --out runs/bert
    """
    from secateur.cli.family import in_words, run_family
    from secateur.cli.recipes import rate_of, recipe_of
    from secateur.cli.running import Job, run
    from secateur.cli.seeking import family, wanted
    from secateur.cli.summary import summary

    goal, members = wanted(given, choice, amount, loop, seek), family(amount, loop, seek)
    recipe = recipe_of(given, choice, amount, loop)
    rate = rate_of(given, loop.learning_rate)
    job = Job(given, recipe, place.out, place.force, loop.train, place.resume, rate, goal)
    done: Family | Finished
    if members:
        done = run_family(job, members, screen)
        screen.show(done.data, *in_words(done, str(place.out)))
    else:
        done = run(job, screen)
        if not screen.is_silent:  # another process of several has the files
            screen.show(done.data, *summary(done))
    if done.interrupted:
        screen.say("interrupted: what was finished is kept and written.")
        raise typer.Exit(INTERRUPTED)
