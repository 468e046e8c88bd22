"""Blocks in which linear ways lie beside each other, a skip among them, made one layer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from secateur.errors import FoldError
from secateur.folding.algebra import composed, summed
from secateur.folding.chains import Layer, begins, call_of, passing
from secateur.folding.maps import Map, unchanged
from secateur.graph import Traced, module_of, operator_of, shape_of
from secateur.inference import evaluating
from secateur.task import Arguments

_SUMS = ("add", "add_")


@dataclass(frozen=True)
class Block:
    """A module of the network that is one linear map of `source`, which gives `node`, and then a tail of modules."""

    name: str
    map: Map
    source: Node
    node: Node
    layers: tuple[Layer, ...]
    tail: tuple[str, ...] = ()


@dataclass
class _Region:
    """The nodes of one call of a module, and what is known of them: maps of what the module reads."""

    nodes: list[Node]
    source: Node
    maps: dict[Node, Map] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)


def blocks_in(traced: Traced, layers: Sequence[Layer]) -> tuple[tuple[Block, ...], tuple[tuple[str, str], ...]]:
    """Every innermost module with a sum that is one linear map; and those that are linear but no one map, and why."""
    found: list[Block] = []
    refused: list[tuple[str, str]] = []
    sums = (node for node in traced.nodes if node.op == "call_function" and operator_of(node) in _SUMS)
    owners = dict.fromkeys(module_of(node) for node in sums)
    for owner in filter(None, owners):
        region = _region(traced, owner)
        if region is None:
            continue
        try:
            found += _block(region, owner, {layer.node: layer for layer in layers})
        except FoldError as error:
            refused.append((owner, str(error)))
    names = {layer.name for layer in layers}
    return tuple(block for block in found if block.name not in names), tuple(refused)


def _region(traced: Traced, owner: str) -> _Region | None:
    """The nodes of a module's call, if it is called once and reads one value."""
    keys, nodes = set(), []
    for node in traced.nodes:
        stack = node.meta.get("nn_module_stack") or {} if node.op == "call_function" else {}
        key = next((key for key, (path, _) in stack.items() if path == owner), None)
        if key is not None:
            keys.add(key)
            nodes.append(node)
    inside = set(nodes)
    read = {s for node in nodes for s in node.all_input_nodes if s not in inside and s.name not in traced.tensors}
    sources = {source for source in read if len(shape_of(source) or ()) > 1}
    return _Region(nodes, sources.pop()) if len(keys) == 1 and len(sources) == 1 and len(read) == 1 else None


def _block(region: _Region, owner: str, layers: Mapping[Node, Layer]) -> Iterator[Block]:
    """The block that a region is, if it is linear up to a tail of modules."""
    axes, channels = _laid_out(region, layers)
    region.maps[region.source] = unchanged("the skip", channels, axes)
    pending = list(region.nodes)
    names = {name for layer in layers.values() for name in (layer.name, layer.ones) if name}
    while pending and _follow(region, pending[0], layers, names):
        pending.pop(0)
    ends = [node for node in region.maps if node in set(region.nodes) and not set(node.users) <= set(region.maps)]
    calls = dict.fromkeys((call_of(node), module_of(node)) for node in pending)
    tail = tuple(name for _, name in calls)
    if len(ends) != 1 or owner in tail or not _is_straight(pending, ends[0]):
        return
    if any(layer.is_product for layer in region.layers):
        yield Block(owner, region.maps[ends[0]], region.source, ends[0], tuple(region.layers), tail)


def _follow(region: _Region, node: Node, layers: Mapping[Node, Layer], names: set[str]) -> bool:
    """Find what a node is as a map of the block's input, as long as it is one.

    Raises:
        FoldError: it is linear, but no one map.
    """
    maps = region.maps
    layer = layers.get(node)
    if layer is not None and layer.source in maps and not begins(layer.module):
        before = maps[layer.source]
        maps[node] = layer.map if before is maps[region.source] else composed(before, layer.map)
        region.layers.append(layer)
    elif operator_of(node) in _SUMS and len(node.all_input_nodes) == 2 and set(node.all_input_nodes) <= maps.keys():
        if node.kwargs or len(node.args) > 2:
            return False
        maps[node] = summed(*(maps[source] for source in node.all_input_nodes))
    elif passing(node) in ("same", "dropout") and node.all_input_nodes[0] in maps:
        maps[node] = maps[node.all_input_nodes[0]]
    else:
        return module_of(node) in names and layer is None  # a part of a layer that is yet to come
    return True


def _laid_out(region: _Region, layers: Mapping[Node, Layer]) -> tuple[int, int]:
    """Over how many axes the block's layers work, and how many channels they read."""
    for node in region.nodes:
        layer = layers.get(node)
        if layer is not None and layer.source is region.source and not layer.reason:
            return layer.axes, layer.map.read - layer.map.ones
    return 0, 0


def _is_straight(nodes: Sequence[Node], begin: Node) -> bool:
    """Whether some nodes work one after the other on what a first one gives, and nobody else reads what is between."""
    before = begin
    for node in nodes:
        values = [source for source in node.all_input_nodes if source.op == "call_function"]
        if values != [before] or len(before.users) != 1:
            return False
        before = node
    return True


def inputs_of(model: nn.Module, names: Sequence[str], arguments: Arguments) -> Mapping[str, int]:
    """With how many inputs some modules are called, where these are one and the same tensor, as is the output."""
    counts: dict[str, int] = {}

    def look(name: str) -> Callable[..., None]:
        def seen(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            is_one = bool(args) and all(arg is args[0] for arg in args)
            if is_one and isinstance(args[0], Tensor) and isinstance(output, Tensor) and not kwargs:
                counts[name] = len(args)

        return seen

    with evaluating(model) as predict, ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_hook(look(name), with_kwargs=True)
            stack.callback(handle.remove)
        predict(arguments)
    return counts
