"""The models of the zoo by name: each file with a `MODEL` is one, and its `SETTINGS` are its options."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints
from urllib.parse import unquote

from torch import nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.zoo.options import read

OWN = ("options", "registry")  # files of the zoo that are no model


def names() -> tuple[str, ...]:
    """The names of all models."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(sorted(module.name for module in found if module.name not in OWN))


def build(name: str, **options: Any) -> nn.Module:
    """A new model with torch's own random weights; options may be text, as in an address; None is not given.

    Raises:
        UnknownNameError: there is no such model or option.
        SettingsError: an option is missing or outside its range.
    """
    module = _module(name)
    options = {option: value for option, value in options.items() if value is not None}
    known = [field.name for field in fields(module.SETTINGS)]
    required = [field.name for field in fields(module.SETTINGS) if field.default is MISSING]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    missing = [option for option in required if option not in options]
    if missing:
        shown = "&".join(f"{option}=..." for option in missing)
        raise SettingsError(f"{name}: {' and '.join(missing)} not given; write {name}?{shown} with what fits the data.")
    types = get_type_hints(module.SETTINGS)
    settings = {option: read(types[option], value, f"{name}: {option}") for option, value in options.items()}
    model: nn.Module = module.MODEL(module.SETTINGS(**settings))
    return model


def parse(tail: str) -> tuple[str, Mapping[str, str]]:
    """Name and options of `NAME?option=value&option=value`, the part of an address after `zoo:`.

    Raises:
        UnknownNameError: there is no such model or option.
        SettingsError: an option is not written as option=value, or is given twice.
    """
    name, _, query = tail.partition("?")
    known = [field.name for field in fields(_module(name).SETTINGS)]
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        option, equals, value = part.partition("=")
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
        if not equals or option in options:
            found = "is given twice" if equals else "has no value"
            raise SettingsError(f"zoo:{tail}: {option} {found}; write {option}=VALUE once.")
        options[option] = unquote(value)
    return name, options


def _module(name: str) -> ModuleType:
    if name not in names():
        raise UnknownNameError("model of the zoo", name, names())
    return importlib.import_module(f"secateur.zoo.{name}")
