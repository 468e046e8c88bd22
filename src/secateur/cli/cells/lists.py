"""From the lists of `compare` to a grid."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

import typer

from secateur import methods
from secateur.budget import Budget
from secateur.budget.written import BUDGETS, budget_of
from secateur.cli.compare import Budgets, Lists
from secateur.cli.options import Choice
from secateur.cli.recipes import method_of
from secateur.comparing import Grid
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Method

_OPTIONS = {"share": "--remove"}

Item = TypeVar("Item")


def grid_of(lists: Lists, budgets: Budgets) -> Grid:
    """The grid that is written.

    Raises:
        CompressionError: a list is empty, or holds something unknown, twice, or out of range.
    """
    names = _split("--methods", lists.methods, str)
    for name in names:
        methods.get(name)
    return Grid(
        methods=_with_settings(names, lists.set),
        budgets=_budgets(budgets),
        compensate=_split("--compensate", lists.compensate, str),  # type: ignore[arg-type]  # the grid checks them
        recover=_split("--recover", lists.recover, _whole),
        seeds=lists.seeds,
    )


def _with_settings(names: Sequence[str], written: Sequence[str]) -> tuple[Method, ...]:
    """The methods, with the settings written as METHOD.NAME=VALUE."""
    settings: dict[str, list[str]] = {name: [] for name in names}
    for text in written:
        name, dot, setting = text.partition("=")[0].rpartition(".")
        if not dot or "=" not in text:
            raise SettingsError(f"--set {text!r}: write METHOD.NAME=VALUE, such as --set magnitude.p=1.")
        if name not in settings:
            raise UnknownNameError(f"method among --methods (--set {text})", name, names)
        setting = text.removeprefix(f"{name}.")
        settings[name].append(setting)
    return tuple(method_of(Choice(name, settings[name])) for name in names)


def _budgets(budgets: Budgets) -> tuple[Budget, ...]:
    """All budgets, kind by kind; every kind that recipes know may be a list."""
    written = asdict(budgets)
    if written["of"] and not written["share"]:
        raise typer.BadParameter("--of goes with --remove.")
    given = {name: written[name] for name in BUDGETS if written.get(name) is not None}
    if not given:
        known = [_option(name) for name in BUDGETS if name in written]
        raise typer.BadParameter(f"give a budget: {', '.join(known[:-1])} or {known[-1]}, each a list.")
    return tuple(budget for name, text in given.items() for budget in _of_kind(name, text, written["of"]))


def _of_kind(name: str, text: str, of: str | None) -> tuple[Budget, ...]:
    return _split(_option(name), text, lambda item: _budget(name, item, of))


def _budget(name: str, text: str, of: str | None) -> Budget:
    made = budget_of({name: text, "of": of})
    assert made is not None  # an amount is given
    return made


def _split(option: str, text: str, reader: Callable[[str], Item]) -> tuple[Item, ...]:
    """The items of a list.

    Raises:
        SettingsError: one of them is empty, or none.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        found = f"{text!r} has an empty place" if any(items) else "the list is empty"
        raise SettingsError(f"{option}: {found}; write a comma between two, such as a,b.")
    try:
        return tuple(reader(item) for item in items)
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}") from error


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise SettingsError(f"{text!r} is no number of epochs; give whole numbers from 0 up.") from error


def _option(name: str) -> str:
    return _OPTIONS.get(name, f"--{name}")
