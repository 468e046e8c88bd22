"""Text that a narrow column breaks where it reads well: between words, and inside one after a mark such as _ or =."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

_PARTS = re.compile(r"(?<=[_=.,:/])")


@dataclass(frozen=True)
class Words:
    """Such a text; what has no mark breaks where it has to."""

    text: str
    style: str = ""

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        lengths = [len(word) for word in self.text.split()]
        return Measurement(max(lengths, default=0), len(self.text)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text("\n".join(broken(self.text, options.max_width)), style=self.style, overflow="fold")


def broken(text: str, width: int) -> list[str]:
    """The lines of a text in a column; a part without a mark may be longer."""
    if len(text) <= width:
        return [text]
    parts = [part for word in text.split() for part in _parts(word, width)]
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def _parts(word: str, width: int) -> Iterator[str]:
    """A word, with the space behind it; in parts where it is too long for a line."""
    *first, last = _PARTS.split(word) if len(word) > width else [word]
    yield from first
    yield f"{last} "
