"""The sizes of what a graph computes, for one row of data."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.fx import Node

from secateur.graph import Traced

Shape = tuple[Fraction, ...]


@dataclass(frozen=True)
class OneRow:
    """Sizes for one row, from a graph that was traced on `rows` of them.

    A size is a formula of symbols; `traced` is what they stood for when the graph was traced, `doubled` the same for
    twice the rows. What takes two rows together has half of it for one row, so sizes are fractions. A graph that works
    for no other number of rows has no formulas: its sizes are for all `together` rows.
    """

    rows: int
    together: int
    traced: Mapping[Any, int]
    doubled: Mapping[Any, int]

    def shape(self, tensor: Tensor) -> Shape | None:
        """A tensor's shape; None where it depends on the data's values."""
        sizes = [self._size(size) for size in tensor.shape]
        known = tuple(size for size in sizes if size is not None)
        return known if len(known) == len(sizes) else None

    def _size(self, size: int | torch.SymInt) -> Fraction | None:
        once, twice = _value(size, self.traced), _value(size, self.doubled)
        if once is None or twice is None:
            return None
        return once - Fraction((twice - once) * (self.rows - 1), self.rows)  # the line through both, at one row


def one_row(traced: Traced) -> OneRow:
    """Sizes for one row of a model's data: rows are the first axis of the first tensor, and of all that are as long."""
    inputs = [tensor for node in traced.nodes if node.name in traced.inputs for tensor in tensors_of(node)]
    lengths: list[Any] = [tensor.shape[0] for tensor in inputs if tensor.dim()]
    counting = {size.node.expr for size in lengths if isinstance(size, torch.SymInt)}
    sizes: list[Any] = [size for tensor in inputs for size in tensor.shape]
    formulas = {size.node.expr: int(size.node.hint) for size in sizes if isinstance(size, torch.SymInt)}
    symbols = {formula: hint for formula, hint in formulas.items() if formula.is_symbol}
    first = lengths[0] if lengths else 1
    rows = first if isinstance(first, int) else int(first.node.hint)
    if isinstance(first, int) or first.node.expr not in symbols:
        return OneRow(1, max(rows, 1), symbols, symbols)
    doubled = {name: size * (2 if size == rows and name in counting else 1) for name, size in symbols.items()}
    return OneRow(rows, 1, symbols, doubled)


def tensors_of(node: Node) -> list[Tensor]:
    """The tensors that a node gives, as they were when the model was traced: with shapes, without values."""
    return [value for value in pytree.tree_leaves(node.meta.get("val")) if isinstance(value, Tensor)]


def _value(size: int | torch.SymInt, symbols: Mapping[Any, int]) -> int | None:
    if isinstance(size, int):
        return size
    found = size.node.expr.subs(symbols)
    return int(found) if found.is_number else size.node.hint  # which is None for what depends on the data
