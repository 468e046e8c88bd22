"""What goes to the screen: results on stdout, everything else on stderr."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from secateur.processes import launched
from secateur.result import Event

_option = partial(typer.Option, rich_help_panel="Output")
_DOING = {"calibrate": "watching units", "recover": "training"}
_REDRAWN_PER_SECOND = 5  # more would disturb the latencies that are measured meanwhile


@dataclass(frozen=True)
class Screen:
    """How a command talks: tables, or JSON alone; on demand with the logs of training and with tracebacks."""

    json: Annotated[bool, _option("--json", help="Print the result as JSON, and nothing else, on stdout.")] = False
    verbose: Annotated[bool, _option("--verbose", "-v", help="Log every epoch on stderr.")] = False
    debug: Annotated[bool, _option("--debug", help="Show the traceback of what is refused.")] = False

    @property
    def is_silent(self) -> bool:
        """Whether another process talks for this one: of several that were launched together the first."""
        return launched()[0] > 0

    def show(self, data: Mapping[str, Any] | Sequence[Any], *tables: RenderableType) -> None:
        """The result: the data as JSON, or the tables."""
        if self.json and not self.is_silent:
            typer.echo(json.dumps(data, indent=1))
        self.print(*tables)

    def print(self, *tables: RenderableType) -> None:
        """Tables on stdout, where no JSON was asked for."""
        console = Console(highlight=False, quiet=self.json or self.is_silent)
        for table in tables:
            console.print(table)

    def say(self, text: str) -> None:
        """A remark on stderr; while bars are drawn, they say it."""
        Console(stderr=True, quiet=self.is_silent).print(Text(text), soft_wrap=True)

    def refuse(self, error: Exception) -> None:
        """The one line that says why not."""
        if not self.is_silent:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)

    @contextmanager
    def progress(self, doing: str) -> Iterator["Bars"]:
        """Bars on stderr while something goes on, gone when it is done; none where stderr is not a terminal."""
        console = Console(stderr=True, quiet=self.is_silent)
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=self.is_silent or not console.is_terminal,
            refresh_per_second=_REDRAWN_PER_SECOND,
        )
        with bars, self._logging(console):
            yield Bars(bars, bars.add_task(doing, total=None))

    @contextmanager
    def _logging(self, console: Console) -> Iterator[None]:
        """The library's logs on the console, above the bars, where they are wanted."""
        logger = logging.getLogger("secateur")
        handler: logging.Handler = logging.NullHandler()
        if self.verbose:
            handler = RichHandler(
                console=console, show_time=False, show_level=False, show_path=False, highlighter=NullHighlighter()
            )
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO if self.verbose else logging.ERROR)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)


class Bars:
    """A bar for the whole, and one for each kind of step that reports its progress: call it with events."""

    def __init__(self, progress: Progress, whole: TaskID):
        self._progress = progress
        self._whole = whole
        self._steps: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        if event.doing not in self._steps:
            description = _DOING.get(event.doing, event.doing)
            self._steps[event.doing] = self._progress.add_task(description, total=None)
        step = self._steps[event.doing]
        if event.done <= self._done.get(event.doing, 0):  # it has begun anew
            self._progress.reset(step)
        self._done[event.doing] = event.done
        is_over = event.done >= event.total > 0
        self._progress.update(step, completed=event.done, total=event.total or None, visible=not is_over)

    def doing(self, what: str, done: int = 0, total: int | None = None) -> None:
        """Show what the whole is about now, and how much of it is done."""
        self._progress.update(self._whole, description=what, completed=done, total=total)

    def say(self, text: str) -> None:
        """A remark on stderr, above the bars."""
        self._progress.console.print(Text(text), soft_wrap=True)
