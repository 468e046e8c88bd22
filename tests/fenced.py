"""The fenced blocks of a page, and how they run: as a reader would go from top to bottom, in an empty folder."""

import re
import runpy
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from commands import done
from secateur.cli.app import app

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<without>[^\n]*) -->\n\n?)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<file>[^\"]*)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("python", "sh")


@dataclass(frozen=True)
class Block:
    """One block: `file` names the file that it is, `without` what it would need that is not there."""

    language: str
    text: str
    line: int
    file: str | None = None
    without: str | None = None


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text[: found.start("text")].count("\n")
        yield Block(found["language"], found["text"], line, found["file"], found["without"])


def follow(block: Block, names: dict[str, Any], page: Path) -> None:
    """Do what a block says, in the current folder, with the names of those before it."""
    match block:
        case Block(file=str(name)):
            Path(name).write_text(block.text, encoding="utf-8")
        case Block("python"):
            padded = "\n" * block.line + block.text  # a traceback then has the page's line numbers
            exec(compile(padded, str(page), "exec"), names)
        case Block("sh"):
            for words in commands(block):
                done(*words[1:]) if words[0] == "secateur" else runpy.run_path(words[1], run_name="__main__")


def read(block: Block, page: Path) -> None:
    """Check what a block says as far as that goes without running it: its syntax, and its commands' options."""
    if block.language == "python":
        compile("\n" * block.line + block.text, str(page), "exec")
    for _, name, *options in commands(block) if block.language == "sh" else ():
        typer.main.get_command(app).commands[name].make_context(name, options)


def commands(block: Block) -> list[list[str]]:
    """The words of each of a block's commands that can be followed: secateur's, and files run by Python."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [each for each in words if each and (each[0] == "secateur" or (each[0] == "python" and each[1][0] != "-"))]
