"""What every value of a network's graph gives whatever comes in: for each unit a number, or NaN where it varies."""

from collections.abc import Mapping
from math import prod

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node

from secateur.errors import FoldError
from secateur.folding.chains import Layer, layers_in, passing
from secateur.folding.maps import Map
from secateur.graph import Traced, operator_of, shape_of

Constants = Float64[Tensor, "..."]  # one for each unit

_ELEMENTWISE = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
    *("softplus", "tanh", "sigmoid", "hardsigmoid"),
)
_POOLS = ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d")
_FLATTENING = ("flatten", "view", "reshape", "_unsafe_view")


def constants_in(traced: Traced) -> Mapping[Node, Constants]:
    """The numbers of every node whose units are known, in their order; nodes that are not listed may give anything."""
    layers = {layer.node: layer for layer in layers_in(traced) if not layer.reason and not layer.ones}
    found: dict[Node, Constants] = {}
    for node in traced.nodes:
        values = _of_layer(layers[node], found) if node in layers else _of_operator(node, found)
        if values is not None and not bool(values.isnan().all()):
            found[node] = values
    return found


def _of_layer(layer: Layer, found: Mapping[Node, Constants]) -> Constants | None:
    """What a linear layer gives: its bias where its weights are zero, and where all that it weighs is a known zero."""
    try:
        one = layer.map
    except FoldError:
        return None
    before = found.get(layer.source)
    bias = torch.zeros(one.made, dtype=torch.float64) if one.bias is None else one.bias.cpu()
    if before is not None and len(before) == one.read and one.is_scale:
        return _scaled(one, before, bias)
    is_off = (one.weight.flatten(1) == 0).all(1).cpu()
    if before is not None and len(before) == one.read and one.groups == one.made == one.read:
        is_off = is_off | (before == 0)
    return torch.where(is_off, bias, torch.nan)


def _scaled(one: Map, before: Constants, bias: Constants) -> Constants:
    weight = one.weight.flatten().cpu()
    return torch.where(weight == 0, bias, weight * before + bias)


def _of_operator(node: Node, found: Mapping[Node, Constants]) -> Constants | None:
    """What an operator without weights makes of known numbers."""
    if node.op != "call_function" or not isinstance(node.meta.get("val"), Tensor):
        return None
    operator = operator_of(node).removesuffix("_")
    sources = [source for source in node.all_input_nodes if isinstance(source.meta.get("val"), Tensor)]
    known = [found[source] for source in sources if source in found]
    if len(known) != len(sources) or not known:
        return None
    if operator == "add" and len(known) == 2 and not node.kwargs:
        return known[0] + known[1] if _alike(node, *sources) else None
    if len(sources) != 1 or node.args[0] is not sources[0]:
        return None
    if passing(node) or operator in _POOLS or (operator in _FLATTENING and _flattens(node)):
        return known[0]
    if operator in _ELEMENTWISE and callable(node.target):
        given: Constants = node.target(known[0].clone(), *node.args[1:], **node.kwargs)
        return given
    return None


def _alike(node: Node, *sources: Node) -> bool:
    return all(shape_of(source) == shape_of(node) for source in sources)


def _flattens(node: Node) -> bool:
    """Whether units with all their positions side by side become one axis."""
    before, after = shape_of(node.all_input_nodes[0]) or (), shape_of(node) or ()
    return len(before) > 2 and len(after) == 2 and prod(before[1:]) == after[1]
