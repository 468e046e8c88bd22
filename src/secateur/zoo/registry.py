"""The models of the zoo by name: every file of a family has a table `MODELS`, a row for each name."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints
from urllib.parse import unquote

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.zoo import densenet, lenet, mlp, mobilenet_v1, mobilenet_v2, resnet, resnet_cifar, vgg
from secateur.zoo.entry import Entry, Settings
from secateur.zoo.images import DATA
from secateur.zoo.options import read

LARGEST_SMALL = 64  # pixels along a side; larger images are for networks that begin with large strides
FAMILIES = (densenet, lenet, mlp, mobilenet_v1, mobilenet_v2, resnet, resnet_cifar, vgg)
MODELS: Mapping[str, Entry] = {name: entry for family in FAMILIES for name, entry in family.MODELS.items()}


def names() -> tuple[str, ...]:
    """The names of all models."""
    return tuple(sorted(MODELS))


def options_of(name: str) -> tuple[str, ...]:
    """The names of a model's options.

    Raises:
        UnknownNameError: there is no such model.
    """
    return tuple(field.name for field in _fields(name))


def form_for(name: str, side: int) -> str | None:
    """The data set that a network should be built for to take images of so many pixels along a side.

    None where there is no form for such images, and for a network for tables.
    """
    forms = [form for form in _entry(name).forms if (DATA[form].size > LARGEST_SMALL) == (side > LARGEST_SMALL)]
    return min(forms, key=lambda form: abs(DATA[form].size - side), default=None)


def build(name: str, **options: Any) -> nn.Module:
    """A new model with random weights from torch's generator; options may be text, as in an address; None is not given.

    Raises:
        UnknownNameError: there is no such model or option.
        SettingsError: an option is missing or outside its range.
    """
    return _entry(name).build(_settings(name, options))


def example(name: str, **options: Any) -> Float[Tensor, "2 ..."]:
    """Two rows of noise, always the same, that the model with these options takes; see `build`."""
    shape = _settings(name, options).input_shape
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), device="cpu")


def parse(tail: str) -> tuple[str, Mapping[str, str]]:
    """Name and options of `NAME?option=value&option=value`, the part of an address after `zoo:`.

    Raises:
        UnknownNameError: there is no such model or option.
        SettingsError: an option is not written as option=value, or is given twice.
    """
    name, _, query = tail.partition("?")
    known = options_of(name)
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


def _entry(name: str) -> Entry:
    if name not in MODELS:
        raise UnknownNameError("model of the zoo", name, MODELS)
    return MODELS[name]


def _fields(name: str) -> list[Field[Any]]:
    """The settings that are options of the name: all that it does not fix."""
    entry = _entry(name)
    return [field for field in fields(entry.settings) if field.name not in entry.fixed]


def _settings(name: str, given: Mapping[str, Any]) -> Settings:
    entry, known = _entry(name), options_of(name)
    options = {option: value for option, value in given.items() if value is not None}
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    missing = [field.name for field in _fields(name) if field.default is MISSING and field.name not in options]
    if missing:
        shown = "&".join(f"{option}=..." for option in missing)
        raise SettingsError(f"{name}: {' and '.join(missing)} not given; write {name}?{shown} with what fits the data.")
    types = get_type_hints(entry.settings)
    read_options = {option: read(types[option], value, f"{name}: {option}") for option, value in options.items()}
    settings: Settings = entry.settings(**entry.fixed, **read_options)
    return settings
