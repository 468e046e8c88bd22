"""The sub-commands, in the order of the line."""

import typer

from secateur.cli.apply import apply
from secateur.cli.compare import compare
from secateur.cli.compress import compress
from secateur.cli.demo import demo
from secateur.cli.explain import explain
from secateur.cli.export import export
from secateur.cli.grouping import command
from secateur.cli.layers import layers
from secateur.cli.measure import measure
from secateur.cli.methods import methods
from secateur.cli.plan import plan
from secateur.cli.recover import recover
from secateur.cli.report import report
from secateur.cli.score import score
from secateur.cli.sites import sites
from secateur.cli.verify import verify

COMMANDS = (
    methods,
    sites,
    layers,
    score,
    plan,
    apply,
    recover,
    measure,
    compress,
    compare,
    explain,
    verify,
    export,
    report,
    demo,
)

app = typer.Typer(
    help="Trained networks made smaller, with the reason for every cut.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for run in COMMANDS:
    app.command(run.__name__)(command(run))
