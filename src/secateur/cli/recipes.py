"""From options to a method, a budget and a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from secateur import methods
from secateur.budget import Budget
from secateur.cli.options import Amount, Choice
from secateur.errors import SettingsError, UnknownNameError
from secateur.recipe import budget_of
from secateur.scores import Method

DEFAULT_METHOD = "dense"
_NAMES = {"share": "--remove", "count": "--count", "below": "--below", "params": "--params", "macs": "--macs"}


def method_of(choice: Choice) -> Method:
    """The method that was chosen, with its settings.

    Raises:
        UnknownNameError: no such method or setting.
        SettingsError: a setting is not written as NAME=VALUE, or its value is not one.
    """
    name = choice.method or DEFAULT_METHOD
    return methods.get(name, **_settings(methods.get(name), choice.set))


def budget_from(amount: Amount) -> Budget | None:
    """The budget that was given, if one was.

    Raises:
        SettingsError: the amount is none, or out of range.
    """
    settings = {
        "share": amount.remove,
        "count": amount.count,
        "below": amount.below,
        "params": amount.params,
        "macs": amount.macs,
    }
    given = [_NAMES[name] for name, value in settings.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"give only one of {' and '.join(given)}.")
    for name, needed, extra in (("--of", "--remove", amount.of), ("--relative", "--below", amount.relative)):
        if extra and given != [needed]:
            raise typer.BadParameter(f"{name} goes with {needed}.")
    return budget_of({**settings, "of": amount.of, "relative": amount.relative})


def _settings(method: Method, written: Sequence[str]) -> dict[str, Any]:
    known: Mapping[str, Any] = {f.name: None for f in fields(method)}  # type: ignore[arg-type]
    hints = get_type_hints(type(method))
    settings: dict[str, Any] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"--set {text!r}: write NAME=VALUE, such as --set measure=weighted.")
        settings[name] = _value(value, hints[name], f"{method.name}: {name}") if name in known else value
    return settings


def _value(text: str, hint: Any, place: str) -> Any:
    """The value of a setting of a type, from text."""
    if get_origin(hint) is Literal:
        options = {str(option): option for option in get_args(hint)}
        if text not in options:
            raise UnknownNameError(f"value of {place.replace(': ', ' ')}", text, options)
        return options[text]
    readers = {int: int, float: float, bool: {"true": True, "false": False, "1": True, "0": False}.__getitem__}
    try:
        return readers.get(hint, str)(text)  # type: ignore[call-overload]
    except (ValueError, KeyError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[hint]
        raise SettingsError(f"{place}={text!r}: it must be {wanted}.") from error
