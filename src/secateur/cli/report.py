"""`secateur report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.screen import Screen
from secateur.cli.tables import lines

RESULT, COMPARISON = "result.json", "comparison.json"


@dataclass(frozen=True)
class Page:
    """What the page is made from, and where it goes."""

    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A folder of compress or compare, or its result.json or comparison.json."),
    ]
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the page is written.", show_default="beside the JSON"),
    ] = None


def report(page: Page, screen: Screen) -> None:
    r"""Write the page of a run or of a comparison, from its JSON alone; it needs no network and no other file.

    Example:
      secateur report runs/digits
    """
    from secateur import report as pages
    from secateur.report import compared
    from secateur.report.reading import read_comparison

    source = page.run / _data_in(page.run) if page.run.is_dir() else page.run
    if source.name == COMPARISON:
        out = page.out or source.with_suffix(".html")
        compared.write(read_comparison(source), out)
    else:
        out = page.out or source.with_name("report.html")
        pages.write(source, out)
    screen.show({"out": str(out)}, lines(f"written: {out}", ()))


def _data_in(folder: Path) -> str:
    return COMPARISON if (folder / COMPARISON).exists() else RESULT
