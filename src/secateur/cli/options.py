"""The options that several commands share, in groups."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import alike

TRAINED = 20  # epochs, for a model that comes without weights
TUNED = 3  # epochs, for one whose head is new
RATE, TUNING_RATE = 1e-3, 5e-5  # of learning; the second for models of transformers (Devlin et al., 2019)

RECOVERED = 3  # epochs, after each round
DROP = 1.0  # points, where neither a budget nor a drop is given
MOST, MOST_ROUNDS = 0.95, 8  # what is tried then
TRIALS, FINALISTS = 32, 3  # of a search
BYS = ("latency", "macs", "params")  # what the members of a family have less of

_given = partial(typer.Option, rich_help_panel="Model and data")
_method = partial(typer.Option, rich_help_panel="Method")
_AMOUNT, _LOOP = "How much goes (one of these)", "How it goes"
_amount = partial(typer.Option, rich_help_panel=_AMOUNT)
_loop = partial(typer.Option, rich_help_panel=_LOOP)
_seek = partial(typer.Option, rich_help_panel="Search (without a method)")


@dataclass(frozen=True)
class Given:
    """The network and the data."""

    data: Annotated[
        str | None,
        _given(
            metavar="ADDRESS",
            help="sklearn:NAME, csv:FILE?target=COLUMN, cifar10:DIR, cifar100:DIR, fashion_mnist:DIR, images:DIR (a "
            "folder for each class), glue/TASK:DIR, hf:NAME, text:FILE, or FILE.py:FUNCTION that returns a Task. "
            "sites, measure, verify and export do without: all models but your own FUNCTION know an example input.",
        ),
    ] = None
    model: Annotated[
        str | None,
        _given(
            metavar="ADDRESS",
            help="zoo:NAME?option=value, hf:DIR-or-ID, torchvision:NAME, timm:NAME or FILE.py:FUNCTION; what the data "
            "knows (features, outputs, size of images) is filled in for zoo:. May be left out where --weights names "
            "its model.",
        ),
    ] = None
    weights: Annotated[
        Path | None,
        _given(
            metavar="FILE",
            help="A file that secateur wrote, .safetensors, or .pt/.pth/.th/.ckpt/.tar (no code is run). "
            "Without: random weights, or those that come with hf: or FUNCTION.",
        ),
    ] = None
    seed: Annotated[int, _given(help="Splits the data, draws random weights, orders training.")] = 0
    batch_size: Annotated[int, _given(help="Rows in a batch.")] = 64


@dataclass(frozen=True)
class Choice:
    """The method and its settings."""

    method: Annotated[
        str | None,
        _method(metavar="NAME", help="See `secateur methods`; or your own, FILE.py:CLASS.", show_default="dense"),
    ] = None
    set: Annotated[
        list[str], _method("--set", metavar="NAME=VALUE", help="A setting of the method; may be repeated.")
    ] = field(default_factory=list)


@dataclass(frozen=True)
class Amount:
    """The budget, as written."""

    remove: Annotated[
        str | None,
        _amount(metavar="SHARE", help="The share that goes: 40% or 0.4, of the units of every site, or of the layers."),
    ] = None
    of: Annotated[str | None, alike.of(rich_help_panel=_AMOUNT)] = None
    count: Annotated[int | None, _amount(metavar="UNITS", help="How many units of every site, or layers, go.")] = None
    below: Annotated[float | None, _amount(metavar="SCORE", help="Units up to this score go.")] = None
    relative: Annotated[bool, _amount("--relative", help="With --below: times the largest score of the site.")] = False
    params: Annotated[
        str | None, _amount(metavar="AMOUNT", help="Parameters that may be LEFT: 30% of them, or 20k, 2M, 300.")
    ] = None
    macs: Annotated[
        str | None, _amount(metavar="AMOUNT", help="Multiply-adds per row that may be LEFT: 30%, or 20k, 2M.")
    ] = None
    latency: Annotated[
        str | None,
        _amount(
            metavar="TIME",
            help="The time that a call may still take, as predicted from its operators, which are timed once on this "
            "machine: 0.6x of the original's, or 12ms.",
        ),
    ] = None
    latency_rows: Annotated[
        int | None, _amount(metavar="ROWS", help="With --latency: the rows of a call.", show_default="1")
    ] = None
    latency_threads: Annotated[
        int | None, _amount(metavar="N", help="With --latency: torch's threads.", show_default="1")
    ] = None


@dataclass(frozen=True)
class Loop:
    """The stage's other settings."""

    rounds: Annotated[int | None, alike.rounds(rich_help_panel=_LOOP, show_default="1; 8 without a budget")] = None
    max_drop: Annotated[
        float | None,
        _loop(
            metavar="POINTS",
            help="Keep the last round that loses no more validation quality than this (accuracy in %, 100 · R²).",
            show_default="any; 1 without a budget",
        ),
    ] = None
    compensate: Annotated[
        str | None,
        _loop(
            metavar="HOW", help="none, mean, least_squares or reconstruct, before training.", show_default="reconstruct"
        ),
    ] = None
    recover: Annotated[
        int | None,
        _loop(metavar="EPOCHS", help="Training after each round, the original as teacher.", show_default="3"),
    ] = None
    learning_rate: Annotated[float | None, alike.learning_rate(rich_help_panel=_LOOP)] = None
    bf16: Annotated[bool, alike.bf16(rich_help_panel=_LOOP)] = False
    ema_decay: Annotated[float | None, alike.ema_decay(rich_help_panel=_LOOP)] = None
    recipe: Annotated[
        Path | None, _loop(metavar="FILE.toml", help="Stages, methods and budgets from a file instead.")
    ] = None
    protect: Annotated[list[str], alike.protect(rich_help_panel=_LOOP)] = field(default_factory=list)
    multiple_of: Annotated[int | None, alike.multiple_of(rich_help_panel=_LOOP)] = None
    become: Annotated[str | None, alike.become(rich_help_panel=_LOOP)] = None
    zeta: Annotated[
        float | None,
        _loop(
            metavar="SHARE",
            help="nepenthe: of the weights left, so many become zero in each round, before layers go.",
            show_default="0.5",
        ),
    ] = None
    to_the_end: Annotated[
        bool, _loop("--to-the-end", help="Layers: one a round until none is left; the network after each is kept.")
    ] = False
    no_fold: Annotated[bool, alike.no_fold(rich_help_panel=_LOOP)] = False
    one_by_one: Annotated[bool, _loop("--one-by-one", help="Score anew after each site.")] = False
    stability: Annotated[
        bool, _loop("--stability", help="Score two halves of the data as well, and note cuts that rest on noise.")
    ] = False
    train: Annotated[int | None, alike.train(rich_help_panel=_LOOP)] = None
    from_scratch: Annotated[
        bool, _loop("--from-scratch", help="Also train the final shape from random weights, as a control.")
    ] = False


@dataclass(frozen=True)
class Seek:
    """How much is tried where no method is named."""

    trials: Annotated[
        int | None, _seek(metavar="N", help="Candidates that are compared.", show_default=f"{TRIALS}")
    ] = None
    finalists: Annotated[
        int | None,
        _seek(metavar="N", help="Of these, how many go through the whole line.", show_default=f"{FINALISTS}"),
    ] = None
    study: Annotated[
        Path | None, _seek(metavar="FILE", help="Keeps what was tried; several processes that name one share the work.")
    ] = None
    family: Annotated[
        str | None,
        _seek(
            metavar="LIST",
            help="Several networks from one scoring, each so many times quicker: 1.2x,1.5x,2x,3x. Each gets a folder "
            "of its own in DIR.",
        ),
    ] = None
    by: Annotated[
        str | None,
        _seek(metavar="|".join(BYS), help="With --family: what each has so many times less of.", show_default=BYS[0]),
    ] = None
