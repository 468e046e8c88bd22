"""Tables as the terminal shows them."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from secateur.cli.words import Words

Cell = str | Text | Words


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    numeric: Iterable[int] = (),
    whole: Iterable[int] = (),
) -> RenderableType:
    """A table whose cells are taken as they are; numeric columns are set right; neither they nor `whole` ones break."""
    right, unbroken = set(numeric), {*numeric, *whole}
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        made.add_column(
            Text(column), justify="right" if place in right else "left", no_wrap=place in unbroken, overflow="fold"
        )
    for row in rows:
        made.add_row(*(_cell(cell, unbroken=place in unbroken) for place, cell in enumerate(row)))
    return Group(Text(title, style="bold"), made)  # a title of the table's own would be broken at the table's width


def _cell(cell: Cell, *, unbroken: bool) -> Text | Words:
    if isinstance(cell, str):
        return Text(cell) if unbroken else Words(cell)
    return cell


def lines(title: str, texts: Iterable[str]) -> RenderableType:
    """A title, and texts below it, each with a bullet."""
    grid = Table.grid(padding=(0, 1))
    for text in texts:
        grid.add_row(Text(" ·"), Text(text, overflow="fold"))
    return Group(Text(title, style="bold"), *([grid] if grid.rows else []), "")
