"""Models made from their addresses, and inputs that each takes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from secateur import huggingface, storage, zoo
from secateur.errors import ModelError
from secateur.plan import Plan
from secateur.sources import libraries
from secateur.sources.addresses import FromFile, FromHub, FromLibrary, FromZoo, filled_in, known, parse
from secateur.tracing import Example
from secateur.userfile import call, find

Shape = Mapping[str, int | None]


def build(address: str, seed: int, shape: Shape) -> nn.Module:
    """The model at an address; random weights come from the seed, and leave torch's random state as found.

    Raises:
        SettingsError: the model needs an option that is neither in the address nor known from the data.
        ModelError: a function returned something else than a model, or a package is missing.
        FileError: a folder cannot be read.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        match parse(filled_in(address, shape)):
            case FromZoo(name, options):
                return zoo.build(name, **options)
            case FromHub() as found:
                return _from_hub(found, seed)
            case FromLibrary(library, name, options):
                return libraries.build(library, name, options)
            case FromFile(path, function):
                return _checked(call(find(path, function), address, known(shape) | {"seed": seed}), address)


def original(address: str, seed: int, shape: Shape) -> nn.Module:
    """The model at an address before any cut, to be filled with the weights of a file; it may lack values of its own.

    Raises:
        CompressionError: as for `build`.
    """
    match parse(address):
        case FromHub(name) if huggingface.is_ours(name):
            return huggingface.original(name)
        case FromHub(name, kind, outputs):
            return huggingface.built(name, kind, outputs)
    return build(address, seed, shape)


def example(address: str, model: nn.Module) -> Example | None:
    """Inputs that the model at an address takes, where its source knows; two rows of noise.

    Raises:
        ModelError: a model of transformers takes something that is not known.
    """
    match parse(address):
        case FromZoo(name, options):
            return zoo.example(name, **options)
        case FromHub():
            return huggingface.example_of(model)
        case FromLibrary(library, name, options):
            return libraries.example(library, name, options, model)
        case FromFile():
            return None


def comes_trained(address: str) -> bool:
    """Whether the model at an address has weights worth keeping."""
    match parse(address):
        case FromZoo():
            return False
        case FromHub(name):
            return huggingface.weights_in(name)
        case FromLibrary(_, _, options):
            return libraries.comes_trained(options)
        case FromFile():
            return True


def cut_already(address: str) -> Plan | None:
    """What was cut from the model at an address before it was saved there.

    Raises:
        FileError: the folder is damaged.
    """
    weights = weights_with_plan(address)
    return storage.read_plan(weights) if weights else None


def weights_with_plan(address: str) -> Path | None:
    """The file with weights and plan of the model at an address, where secateur saved it.

    Raises:
        FileError: the folder is damaged.
    """
    match parse(address):
        case FromHub(name) if huggingface.is_ours(name):
            return huggingface.weights_of(name)
    return None


def hub_name(address: str) -> str | None:
    """The folder or the name on the hub of a model of transformers; None for other models."""
    match parse(address):
        case FromHub(name):
            return name
    return None


def has_new_head(address: str) -> bool:
    """Whether the model at an address comes with weights for all but its head.

    Raises:
        FileError: a folder cannot be read.
    """
    match parse(address):
        case FromHub(name, kind, outputs):
            return not huggingface.is_ours(name) and huggingface.is_new_head(name, kind, outputs)
    return False


def _from_hub(found: FromHub, seed: int) -> nn.Module:
    if huggingface.is_ours(found.name):
        return huggingface.from_pretrained(found.name)
    if huggingface.weights_in(found.name):
        return huggingface.opened(found.name, found.kind, found.outputs)
    return huggingface.built(found.name, found.kind, found.outputs, seed=seed)


def _checked(made: object, address: str) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise ModelError(f"{address}: returned a {type(made).__name__}; it must return a torch.nn.Module.")
    return made
