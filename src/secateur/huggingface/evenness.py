"""Cuts that a config can say: then transformers alone builds the small network, of the same shapes and function."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from secateur import width
from secateur.errors import ModelError
from secateur.huggingface.classes import MISFITS, config_of, unfilled
from secateur.huggingface.examples import example_of
from secateur.inference import evaluating
from secateur.task import tensors_in

Shapes = Mapping[str, tuple[int, ...]]

_MOST_RATIOS = 4  # a cut with more different ones is not even
_CLOSE = 1e-4  # of the largest output, of two networks with the same random weights
_UNSET = ("inner", "dim", "size")  # in names of fields that may be None, for a size that follows from another


def fields_for(model: nn.Module, before: Shapes, config: Mapping[str, Any]) -> dict[str, int] | None:
    """The config's fields that say how a model was cut, with their new values; None where none can.

    `before` holds the shapes of what `config` builds. Fields are tried one by one, as long as that makes more shapes
    agree. Then both networks are given the same random weights and must put out the same: equal shapes alone would not
    tell fewer heads from smaller ones.
    """
    after = shapes_of(model)
    moves = _moves(config, _changes(before, after))
    fields: dict[str, int] = {}
    left = _different(before, after)
    while left:
        tried = {move: _left(model, {**config, **fields, move[0]: move[1]}) for move in moves}
        best = min(tried, key=lambda move: tried[move], default=None)
        if best is None or tried[best] >= left:
            return None
        fields[best[0]], left = best[1], tried[best]
    return fields if _says_all(model, {**config, **fields}) else None


def computes_the_same(model: nn.Module, other: nn.Module, example: dict[str, Any]) -> bool:
    """Whether two networks of equal shapes put out the same, both with the same random weights.

    `other` may lack values; it is given those of a copy of the model, in place.
    """
    twin = width.copied(model).cpu().float()
    _randomise_(twin)
    other.load_state_dict(twin.state_dict(), assign=True)
    given = (), {name: _single(value) for name, value in example.items()}
    with evaluating(twin) as predict, evaluating(other) as predict_other:
        pairs = list(zip(tensors_in(predict(given)), tensors_in(predict_other(given)), strict=True))
    return all(f.shape == w.shape and float((f - w).abs().max()) <= _CLOSE * float(w.abs().max()) for f, w in pairs)


def shapes_of(model: nn.Module) -> Shapes:
    """The shape of every tensor that a model saves."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _changes(before: Shapes, after: Shapes) -> set[tuple[int, int]]:
    """Lengths of axes before and after, where they changed."""
    pairs = (pair for name in before.keys() & after.keys() for pair in zip(before[name], after[name], strict=False))
    return {(b, a) for b, a in pairs if a != b}


def _moves(config: Mapping[str, Any], changes: set[tuple[int, int]]) -> list[tuple[str, int]]:
    """Fields and what they may become, in a settled order; none where too much changed for an even cut."""
    ratios = {Fraction(a, b) for b, a in changes}
    moves: list[tuple[str, int]] = []
    for name, value in sorted(config.items()) if len(ratios) <= _MOST_RATIOS else ():
        if isinstance(value, int) and not isinstance(value, bool):
            scaled = (value * ratio for ratio in sorted(ratios))
            moves += [(name, int(new)) for new in scaled if new.denominator == 1 and new != value]
        elif value is None and any(part in name for part in _UNSET):
            moves += [(name, a) for _, a in sorted(changes)]
    return moves


def _different(found: Shapes, wanted: Shapes) -> int:
    """How many tensors differ in shape; more than there are where the names differ."""
    if found.keys() != wanted.keys():
        return len(found) + len(wanted) + 1
    return sum(found[name] != shape for name, shape in wanted.items())


def _left(model: nn.Module, config: Mapping[str, Any]) -> int:
    wanted = shapes_of(model)
    try:
        return _different(shapes_of(unfilled(type(model), config_of(type(model), config))), wanted)
    except MISFITS:
        return len(wanted) * 2 + 1


def _says_all(model: nn.Module, config: Mapping[str, Any]) -> bool:
    """Whether what the config builds computes what the model does."""
    try:
        return computes_the_same(model, unfilled(type(model), config_of(type(model), config)), example_of(model))
    except (ModelError, *MISFITS):
        return False


def _randomise_(model: nn.Module) -> None:
    """Weights with which no part of a network is idle: attention is far from even, no scale is 1, no bias 0."""
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.dim() > 1:
            tensor.normal_(generator=generator).mul_((2.0 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
