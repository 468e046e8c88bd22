"""The options that several commands share, in groups."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

TRAINED = 20  # epochs, for a model that comes without weights

_given = partial(typer.Option, rich_help_panel="Model and data")
_method = partial(typer.Option, rich_help_panel="Method")
_amount = partial(typer.Option, rich_help_panel="How much goes (one of these)")


@dataclass(frozen=True)
class Given:
    """The network and the data."""

    data: Annotated[
        str,
        _given(
            metavar="ADDRESS", help="sklearn:NAME, csv:FILE?target=COLUMN, or FILE.py:FUNCTION that returns a Task."
        ),
    ]
    model: Annotated[
        str | None,
        _given(
            metavar="ADDRESS",
            help="zoo:NAME?option=value or FILE.py:FUNCTION; what the data knows (features, outputs) is filled in. "
            "May be left out where --weights names a model of the zoo.",
        ),
    ] = None
    weights: Annotated[
        Path | None,
        _given(
            metavar="FILE",
            help="A file that secateur wrote, .safetensors, or .pt/.pth/.th (no code in it is run). "
            "Without: random weights, or those that FUNCTION gives.",
        ),
    ] = None
    seed: Annotated[int, _given(help="Splits the data, draws random weights, orders training.")] = 0
    batch_size: Annotated[int, _given(help="Rows in a batch.")] = 64


@dataclass(frozen=True)
class Choice:
    """The method and its settings."""

    method: Annotated[str | None, _method(metavar="NAME", help="See `secateur methods`.", show_default="dense")] = None
    set: Annotated[
        list[str], _method("--set", metavar="NAME=VALUE", help="A setting of the method; may be repeated.")
    ] = field(default_factory=list)


@dataclass(frozen=True)
class Amount:
    """The budget, as written."""

    remove: Annotated[
        str | None, _amount(metavar="SHARE", help="The share of the units that goes: 40% or 0.4, of every site.")
    ] = None
    of: Annotated[
        str | None, _amount(metavar="site|model", help="With --remove: of every site alike, or over the model.")
    ] = None
    count: Annotated[int | None, _amount(metavar="UNITS", help="How many units of every site go.")] = None
    below: Annotated[float | None, _amount(metavar="SCORE", help="Units up to this score go.")] = None
    relative: Annotated[bool, _amount("--relative", help="With --below: times the largest score of the site.")] = False
    params: Annotated[
        str | None, _amount(metavar="AMOUNT", help="Parameters that may be LEFT: 30% of them, or 20k, 2M, 300.")
    ] = None
    macs: Annotated[
        str | None, _amount(metavar="AMOUNT", help="Multiply-adds per row that may be LEFT: 30%, or 20k, 2M.")
    ] = None
