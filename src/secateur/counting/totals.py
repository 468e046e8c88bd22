"""A traced model's multiply-adds, operator by operator."""

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from secateur.counting.free import is_free
from secateur.counting.memory import peak_bytes
from secateur.counting.products import PRODUCTS, Call
from secateur.counting.rows import OneRow, one_row, tensors_of
from secateur.graph import Traced, operator_of

_REGIONS = ("wrap_with_autocast", "wrap_with_set_grad_enabled")  # `with` blocks: graphs in the graph


@dataclass(frozen=True)
class Count:
    """What one example costs: multiply-adds by operator, the calls that were not counted, memory for activations.

    Products and convolutions are counted, one multiply-add once, biases not; what works entry by entry, norms, pools
    and look-ups count as nothing. Operators that multiply in ways that nobody here knows stand in `uncounted`, each
    with its calls.

    `peak_activation_bytes` is what an allocator would need that frees every value after its last use: inputs, which the
    caller holds throughout, and what the operators give; views and operators in place share memory with their source.
    Weights are left out, and so is what an operator needs inside. 0 means that it depends on the data's values.
    """

    macs_by_operator: Mapping[str, int]
    uncounted: Mapping[str, int]
    peak_activation_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds of all operators."""
        return sum(self.macs_by_operator.values())


def count(traced: Traced) -> Count:
    """What one example costs: the cost of a batch of one, whatever the batch that the model was traced on."""
    sizes = one_row(traced)
    macs: dict[str, Fraction] = {}
    uncounted: Counter[str] = Counter()
    for node in _calls(traced.nodes, traced.bound):
        name, found = _macs(node, sizes)
        if found is None:
            uncounted[name] += 1
        elif found:
            macs[name] = macs.get(name, Fraction(0)) + found
    whole = {name: round(found / sizes.together) for name, found in sorted(macs.items())}
    return Count(whole, dict(sorted(uncounted.items())), peak_bytes(traced, sizes))


def macs_by_node(traced: Traced) -> dict[str, int]:
    """The multiply-adds of every node, for one example; nodes that are not counted are left out."""
    sizes = one_row(traced)
    found = {node.name: _macs(node, sizes)[1] for node in _calls(traced.nodes, traced.bound)}
    return {name: round(macs / sizes.together) for name, macs in found.items() if macs is not None}


def _calls(nodes: Iterable[Node], bound: Mapping[Node, Any]) -> Iterator[Node]:
    """Every node that computes tensors, also those of `with` blocks."""
    for node in nodes:
        inside = [bound.get(source) for source in node.all_input_nodes] if _name(node) in _REGIONS else []
        if graph := next((one.graph for one in inside if isinstance(one, GraphModule)), None):
            yield from _calls(graph.nodes, bound)
        elif node.op == "call_function" and node.target is not operator.getitem and tensors_of(node):
            yield node


def _name(node: Node) -> str:
    """An operator's name, in-place or not; with its library's name where that is not torch's own."""
    match node.target:
        case OpOverload(namespace="aten"):
            name = operator_of(node)
            return name if name.endswith("__") else name.removesuffix("_")  # __and__ is not in place
        case OpOverload() as target:
            return str(target._schema.name)
    return str(node.target)


def _macs(node: Node, sizes: OneRow) -> tuple[str, Fraction | None]:
    """An operator's name, and its multiply-adds; None where they are not known."""
    name = _name(node)
    if name not in PRODUCTS:
        free = isinstance(node.target, OpOverload) and is_free(node.target, name)
        return name, Fraction(0) if free else None
    shapes = [sizes.shape(tensor) for source in (node, *node.all_input_nodes) for tensor in tensors_of(source)]
    if None in shapes:
        return name, None
    return name, Fraction(PRODUCTS[name](Call(_shapes(node.args, sizes), sizes.shape(tensors_of(node)[0]) or ())))


def _shapes(arg: Any, sizes: OneRow) -> Any:
    """Arguments with shapes in place of tensors."""
    match arg:
        case Node() if tensors_of(arg):
            return sizes.shape(tensors_of(arg)[0])
        case list() | tuple():
            return tuple(_shapes(part, sizes) for part in arg)
    return arg
