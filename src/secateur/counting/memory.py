"""How many bytes a traced model's activations take at once."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from torch import Tensor
from torch.fx import Node

from secateur.counting.rows import OneRow, tensors_of
from secateur.graph import Traced, operator_of

_DROPOUTS = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")


@dataclass(frozen=True)
class _Life:
    """A piece of memory: the tensor that it was taken for, and the places of the nodes that first and last use it."""

    tensor: Tensor
    first: int
    last: int


def peak_bytes(traced: Traced, sizes: OneRow) -> int:
    """The most bytes that are in use at once while the model runs on one row; 0 where that depends on the data."""
    changes = [Fraction(0)] * (len(traced.nodes) + 1)
    for life in _lives(traced):
        shape = sizes.shape(life.tensor)
        if shape is None:
            return 0
        size = Fraction(math.prod(shape) * life.tensor.element_size())
        changes[life.first] += size
        changes[life.last + 1] -= size
    return math.ceil(max(accumulate(changes)) / sizes.together)


def _lives(traced: Traced) -> Iterable[_Life]:
    """Every piece of memory but the model's own; inputs are in use to the end, as the caller holds them."""
    places = {node: place for place, node in enumerate(traced.nodes)}
    lives: dict[int, _Life] = {}
    for node, place in places.items():
        end = len(places) - 1 if node.name in traced.inputs else place
        end = max((end, *(places[user] for user in node.users)))
        for memory, tensor in _memory(node).items():
            known = lives.get(memory, _Life(tensor, place, end))
            lives[memory] = _Life(known.tensor, known.first, max(known.last, end))
    own = {memory for node in traced.bound for memory in _memory(node)}
    return [life for memory, life in lives.items() if memory not in own]


def _memory(node: Node) -> Mapping[int, Tensor]:
    """The pieces of memory that a node's tensors lie on, as torch saw it when tracing, each with one of them.

    A dropout gives back its input in eval mode, which tracing does not see.
    """
    if operator_of(node) in _DROPOUTS and len(node.args) == 3 and node.args[2] is False:
        return _memory(node.args[0])  # type: ignore[arg-type]
    return {id(tensor.untyped_storage()): tensor for tensor in tensors_of(node)}
