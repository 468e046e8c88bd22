"""The command line: one sub-command per step of the line, each reading and writing files."""

import sys
from io import TextIOWrapper

from secateur.cli.app import app
from secateur.processes import leave


def main() -> None:
    """Run the command line; exits with 0 (done), 1 (refused), 2 (wrong usage) or 130 (interrupted)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal knows ± and →
    try:
        app(prog_name="secateur")
    finally:
        leave()


__all__ = ["main"]
