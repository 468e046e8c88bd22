"""`secateur report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.screen import Screen
from secateur.cli.tables import lines


@dataclass(frozen=True)
class Page:
    """What the page is made from, and where it goes."""

    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its result.json.")]
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the page is written.", show_default="report.html beside result.json"),
    ] = None


def report(page: Page, screen: Screen) -> None:
    r"""Write the HTML report of a run, from its result.json alone; the page needs no network and no other file.

    Example:
      secateur report runs/digits
    """
    from secateur import report as pages

    source = page.run / "result.json" if page.run.is_dir() else page.run
    out = page.out or source.with_name("report.html")
    pages.write(source, out)
    screen.show({"out": str(out)}, lines(f"written: {out}", ()))
