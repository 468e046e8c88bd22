"""The sub-commands, in the order of the line."""

import typer

from secateur.cli.grouping import command
from secateur.cli.methods import methods
from secateur.cli.sites import sites

app = typer.Typer(
    help="Trained networks made smaller, with the reason for every cut.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for run in (methods, sites):
    app.command(run.__name__)(command(run))
