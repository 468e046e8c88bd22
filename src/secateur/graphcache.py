"""Graphs traced before: a model that is built like an earlier one is not traced again.

Tracing takes seconds where a forward pass takes milliseconds, and one line of work meets the same structure many times:
the model and the copies it is tried on, the small network when it is verified, measured, and measured again. A graph is
kept without weights, under all of a model's structure that is plain data; `trace` runs it against the model itself
before it is trusted, as it does with a new one.
"""

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch.utils._pytree as pytree
from torch import Tensor, nn

from secateur.graph import Traced
from secateur.task import Arguments

_KEPT = 8  # graphs; one holds some MB for the largest networks
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type)
_STATE = ("_parameters", "_buffers", "_modules", "training")

_graphs: OrderedDict[Hashable, Traced] = OrderedDict()


def key_of(model: nn.Module, arguments: Arguments) -> Hashable:
    """What a model's graph follows from, weights apart: classes, settings, shapes and ties of tensors, and inputs."""
    ties: dict[int, int] = {}
    tensors = tuple(
        (name, *_shape(tensor), ties.setdefault(id(tensor), len(ties)))
        for named in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
        for name, tensor in named
    )
    modules = tuple((name, type(m), _settings(m)) for name, m in model.named_modules(remove_duplicate=False))
    leaves, structure = pytree.tree_flatten(arguments)
    inputs = tuple(_shape(leaf) if isinstance(leaf, Tensor) else _frozen(leaf) for leaf in leaves)
    return modules, tensors, inputs, str(structure)


def recall(key: Hashable, model: nn.Module) -> Traced | None:
    """The graph kept under a key, bound to a model's own tensors."""
    if key not in _graphs:
        return None
    _graphs.move_to_end(key)
    return _graphs[key].on(model)


def keep(key: Hashable, traced: Traced) -> None:
    """Keep a graph for models built alike, unless it holds values that are not the model's tensors."""
    if traced.has_constants:
        return
    _graphs[key] = traced.without_model()
    while len(_graphs) > _KEPT:
        _graphs.popitem(last=False)


def forget() -> None:
    """Drop all graphs."""
    _graphs.clear()


def _settings(module: nn.Module) -> Hashable:
    return tuple((name, _frozen(value)) for name, value in vars(module).items() if name not in _STATE)


def _frozen(value: Any) -> Hashable:
    """A value as something that equals only its like: plain data and functions as they are, other objects by class."""
    match value:
        case MethodType():
            return value.__func__
        case FunctionType() | BuiltinFunctionType():
            return value
        case list() | tuple() | set() | frozenset():
            return (type(value), *(_frozen(part) for part in value))
        case Mapping():
            return (type(value), *((key, _frozen(part)) for key, part in value.items()))
        case _ if isinstance(value, _PLAIN):
            return type(value), value
    return (type(value),)


def _shape(tensor: Tensor) -> tuple[Hashable, ...]:
    return tuple(tensor.shape), tensor.dtype, tensor.device
