"""What goes to the screen: results on stdout, everything else on stderr."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

_option = partial(typer.Option, rich_help_panel="Output")
_DOING = {"calibrate": "watching units", "recover": "training"}
_REDRAWN_PER_SECOND = 5  # more would disturb the latencies that are measured meanwhile


@dataclass(frozen=True)
class Screen:
    """How a command talks: tables, or JSON alone; on demand with the logs of training and with tracebacks."""

    json: Annotated[bool, _option("--json", help="Print the result as JSON, and nothing else, on stdout.")] = False
    verbose: Annotated[bool, _option("--verbose", "-v", help="Log every epoch on stderr.")] = False
    debug: Annotated[bool, _option("--debug", help="Show the traceback of what is refused.")] = False

    def show(self, data: Mapping[str, Any] | Sequence[Any], *tables: RenderableType) -> None:
        """The result: the data as JSON, or the tables."""
        if self.json:
            typer.echo(json.dumps(data, indent=1))
            return
        console = Console(highlight=False)
        for table in tables:
            console.print(table)

    def say(self, text: str) -> None:
        """A remark on stderr."""
        Console(stderr=True, highlight=False).print(Text(text), soft_wrap=True)

    def refuse(self, error: Exception) -> None:
        """The one line that says why not."""
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)

    @contextmanager
    def progress(self, doing: str) -> Iterator["Bars"]:
        """Bars on stderr while something goes on, gone when it is done; none where stderr is not a terminal."""
        console = Console(stderr=True)
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
        hidden = not console.is_terminal
        with Progress(
            *columns, console=console, transient=True, disable=hidden, refresh_per_second=_REDRAWN_PER_SECOND
        ) as progress:
            yield Bars(progress, progress.add_task(doing, total=None))


class Bars:
    """A bar for the whole, and one for each kind of step that reports its progress: call it with events."""

    def __init__(self, progress: Progress, whole: TaskID):
        self._progress = progress
        self._whole = whole
        self._steps: dict[str, TaskID] = {}

    def __call__(self, event: Any) -> None:
        doing = _DOING.get(event.doing, event.doing)
        if doing not in self._steps:
            self._steps[doing] = self._progress.add_task(doing, total=None)
        over = event.done >= event.total > 0
        self._progress.update(
            self._steps[doing], completed=event.done, total=event.total or None, visible=not over
        )

    def doing(self, what: str) -> None:
        """Say what the whole is about now."""
        self._progress.update(self._whole, description=what)
