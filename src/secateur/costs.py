"""What every tensor of a traced model costs, and which operators multiply by it."""

import math
from collections import defaultdict
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from secateur.graph import Traced, operator_of, shape_of
from secateur.sites import TensorCost

_MULTIPLIES = {"linear", "matmul", "mm", "addmm"}
_CONVOLVES = {
    "convolution",
    *(f"conv{number}d" for number in (1, 2, 3)),
    *(f"conv_transpose{number}d" for number in (1, 2, 3)),
}
_TURNS = {"t", "transpose", "permute", "numpy_T", "mT"}


def costs_of(traced: Traced) -> tuple[TensorCost, ...]:
    """Every tensor's shape, and how many multiply-adds each entry does for one row of the example."""
    macs: dict[str, float] = defaultdict(float)
    rows = rows_of(traced)
    tensors = _named_once(traced)
    for node in traced.nodes:
        weight = weight_of(node, traced)
        if weight is not None:
            macs[weight] += _positions(node, tensors[weight].dim() - 2) / rows
    return tuple(TensorCost(n, tuple(t.shape), macs[n], isinstance(t, nn.Parameter)) for n, t in tensors.items())


def rows_of(traced: Traced) -> int:
    """How many rows the example has: the first axis of the first input that has one, as everywhere."""
    shapes = [shape_of(node) for node in traced.nodes if node.name in traced.inputs]
    return next((shape[0] for shape in shapes if shape), 1)


def _positions(node: Node, spatial: int) -> int:
    """How often each entry of a product's weight is used: at every place of its output, or input if transposed."""
    if operator_of(node) in _MULTIPLIES:
        return math.prod((shape_of(node) or ())[:-1])
    x = node.args[0] if "transpose" in operator_of(node) else node
    shape = shape_of(x) or () if isinstance(x, Node) else ()
    channel = len(shape) - spatial - 1
    return math.prod(shape[:channel]) * math.prod(shape[channel + 1 :])


def _named_once(traced: Traced) -> dict[str, Tensor]:
    """All parameters and buffers, tied ones once, by the name that the graph uses."""
    placeholders = {node.name: node for node in traced.nodes if node.op == "placeholder"}
    used = {name for placeholder, name in traced.tensors.items() if placeholders[placeholder].users}
    tensors = {**traced.model.state_dict(keep_vars=True), **dict(traced.model.named_buffers(remove_duplicate=False))}
    names: dict[int, str] = {}
    for name, tensor in tensors.items():
        if id(tensor) not in names or name in used:
            names[id(tensor)] = name
    return {name: tensors[name] for name in names.values() if isinstance(tensors[name], Tensor)}


def weight_of(node: Node, traced: Traced) -> str | None:
    """The parameter that a product multiplies by, where it is one."""
    if node.op != "call_function" or operator_of(node) not in _MULTIPLIES | _CONVOLVES:
        return None
    place = 2 if operator_of(node) == "addmm" else 1
    return origin_of(node.args[place], traced)


def origin_of(weight: Any, traced: Traced) -> str | None:
    """The parameter that an argument is, transposed or not."""
    while isinstance(weight, Node) and weight.op == "call_function" and operator_of(weight) in _TURNS:
        weight = weight.args[0]
    return traced.tensors.get(weight.name) if isinstance(weight, Node) else None
