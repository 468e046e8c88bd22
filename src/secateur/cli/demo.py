"""`secateur demo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli.grouping import INTERRUPTED
from secateur.cli.options import Given
from secateur.cli.screen import Screen

MODEL = "zoo:mlp?hidden=256,256,256"
SHOWN = (("digits", "sklearn:digits"), ("diabetes", "sklearn:diabetes"))


@dataclass(frozen=True)
class Where:
    """The folder of the demonstration."""

    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets a run folder for each of the two.")] = Path(
        "secateur-demo"
    )


def demo(where: Where, screen: Screen) -> None:
    r"""Show it on data that comes along: the digits (classification) and the diabetes (regression) of scikit-learn.

    For each, a network that is too large for its data is trained, then compressed by `dense` round after round, as long
    as the validation quality falls by no more than a point. Takes about a minute.

    Example:
      secateur demo --out secateur-demo
    """
    from secateur.cli.recipes import as_much_as_holds
    from secateur.cli.running import Job, run
    from secateur.cli.summary import summary
    from secateur.recipe import Stage

    recipe = as_much_as_holds(Stage())
    shown: dict[str, Any] = {}
    for name, address in SHOWN:
        screen.say(f"{name}: {MODEL}")
        finished = run(Job(Given(data=address, model=MODEL), recipe, where.out / name), screen)
        shown[name] = finished.data
        if not screen.is_silent:
            screen.print(*summary(finished))
        if finished.interrupted:
            break
    screen.show(shown)
    if finished.interrupted:
        screen.say("interrupted: what was finished is kept and written.")
        raise typer.Exit(INTERRUPTED)
