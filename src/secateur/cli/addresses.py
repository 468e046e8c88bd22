"""Model addresses: `zoo:NAME?option=value` and `FILE.py:FUNCTION`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import torch
from torch import nn

from secateur import zoo
from secateur.data.functions import call, find_function
from secateur.errors import ModelError, SettingsError, UnknownNameError

FORMS = ("zoo:NAME?option=value", "FILE.py:FUNCTION")


@dataclass(frozen=True)
class FromZoo:
    """A model of the zoo, and its options as written."""

    name: str
    options: dict[str, str]


@dataclass(frozen=True)
class FromFile:
    """A function in a Python file that makes a model."""

    path: Path
    function: str


def parse(address: str) -> FromZoo | FromFile:
    """What an address names.

    Raises:
        UnknownNameError: there is no such kind of address, no such model, or no such option.
        SettingsError: the address is incomplete.
    """
    scheme, colon, rest = address.partition(":")
    path, _, function = address.rpartition(":")
    if scheme == "zoo" and rest:
        name, options = zoo.parse(rest)
        return FromZoo(name, dict(options))
    if path.endswith(".py") and function:
        return FromFile(Path(path), function)
    if scheme == "zoo" or address.removesuffix(":").endswith(".py"):
        raise SettingsError(f"{address!r} is incomplete; write {' or '.join(FORMS)}.")
    raise UnknownNameError("model address", f"{scheme}:" if colon else address, FORMS)


def filled_in(address: str, shape: Mapping[str, int | None]) -> str:
    """The address with what the data knows (`features`, `outputs`) where the model asks and the address is silent."""
    match parse(address):
        case FromZoo(name, options):
            asked = [key for key in zoo.options_of(name) if key not in options]
            written = options | {key: str(size) for key, size in _known(shape).items() if key in asked}
            tail = "&".join(f"{key}={quote(value, safe=',')}" for key, value in written.items())
            return f"zoo:{name}?{tail}" if tail else f"zoo:{name}"
    return address


def build(address: str, seed: int, shape: Mapping[str, int | None]) -> nn.Module:
    """A new model; its random weights come from the seed, and leave torch's random state as found.

    Raises:
        SettingsError: the model needs an option that is neither in the address nor known from the data.
        ModelError: a function returned something else than a model.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        match parse(filled_in(address, shape)):
            case FromZoo(name, options):
                return zoo.build(name, **options)
            case FromFile(path, function):
                return _checked(call(find_function(path, function), address, _known(shape) | {"seed": seed}), address)


def is_from_zoo(address: str) -> bool:
    """Whether the model is one of the zoo: it never comes with trained weights."""
    return isinstance(parse(address), FromZoo)


def _known(shape: Mapping[str, int | None]) -> dict[str, int]:
    return {key: size for key, size in shape.items() if size is not None}


def _checked(made: object, address: str) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise ModelError(f"{address}: returned a {type(made).__name__}; it must return a torch.nn.Module.")
    return made
