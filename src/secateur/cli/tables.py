"""Tables as the terminal shows them."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Cell = str | Text


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    numeric: Iterable[int] = (),
    whole: Iterable[int] = (),
) -> Table:
    """A table whose cells are taken as they are; numeric columns are set right; neither they nor `whole` ones break."""
    right, unbroken = set(numeric), {*numeric, *whole}
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        made.add_column(
            Text(column), justify="right" if place in right else "left", no_wrap=place in unbroken, overflow="fold"
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def lines(title: str, texts: Iterable[str]) -> RenderableType:
    """A title, and texts below it, each with a bullet."""
    grid = Table.grid(padding=(0, 1))
    for text in texts:
        grid.add_row(Text(" ·"), Text(text, overflow="fold"))
    return Group(Text(title, style="bold"), *([grid] if grid.rows else []), "")
