"""What goes into a residual block beside what comes out, for the block around every activation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torch.fx import Node

from secateur.calibration.pairs import ends_of, rows_of
from secateur.calibration.places import Batch, Places
from secateur.costs import weight_of
from secateur.graph import Traced, operator_of, shape_of
from secateur.scores import Blocks
from secateur.sites import Sites

_AROUND = {  # what a path around the layers of a block may go through
    *("add", "add_", "sub", "dropout", "dropout_", "contiguous", "clone", "alias", "detach", "to"),
    *("batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"),
    *("relu", "relu_", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "elu_", "gelu", "silu", "silu_"),
    *("mish", "hardswish", "hardswish_", "prelu"),
}


@dataclass(frozen=True)
class Block:
    """The values before and after a residual block, of one shape, and where their units lie, counted from behind."""

    source: Node
    node: Node
    reader: Node
    axis: int


def at_blocks(places: Places, traced: Traced, sites: Sites, look: Blocks) -> None:
    """Every residual block around an activation is watched, once for all that are in it.

    Raises:
        ModelError: there are no activations among the sites, or they are not the model's.
    """
    seen: dict[str, Any] = {}
    places.seen[look] = seen
    names: dict[tuple[Node, Node], list[str]] = {}
    blocks = blocks_of(traced, sites)
    for name, block in blocks.items():
        seen[name] = look.empty()
        names.setdefault((block.source, block.node), []).append(name)
    for inside in names.values():
        _watch(places, blocks[inside[0]], partial(_see, seen, inside))


def blocks_of(traced: Traced, sites: Sites) -> dict[str, Block]:
    """The smallest residual block around every activation that is in one, by the activation's name.

    A residual block is a module whose input gets to its output, which has the same shape, around all linear layers.
    """
    calls: dict[str, set[Node]] = {}
    for node in traced.nodes:
        if node.op == "call_function":
            for key in node.meta.get("nn_module_stack") or {}:
                calls.setdefault(str(key), set()).add(node)
    known = {key: _block(traced, inside) for key, inside in calls.items()}
    found = {name: _smallest(node, known) for name, (_, node) in ends_of(traced, sites).items()}
    return {name: block for name, block in found.items() if block is not None}


def _smallest(node: Node, known: Mapping[str, Block | None]) -> Block | None:
    """The innermost block that a node stands in."""
    stack = list(node.meta.get("nn_module_stack") or {})
    return next((block for key in reversed(stack) if (block := known[str(key)]) is not None), None)


def _block(traced: Traced, inside: set[Node]) -> Block | None:
    """A module's call as a residual block, if it is one."""
    ordered = [node for node in traced.nodes if node in inside]
    layers = [node for node in ordered if weight_of(node, traced) is not None]
    ends = [node for node in ordered if shape_of(node) and any(user not in inside for user in node.users)]
    if not layers or len(ends) != 1:
        return None
    sources = [
        source
        for source in _around(ends[0], inside)
        if shape_of(source) == shape_of(ends[0]) and source.name not in traced.tensors
    ]
    if not sources:
        return None
    reader = next(node for node in ordered if sources[0] in node.args)
    return Block(sources[0], ends[0], reader, _axis(layers[0], sources[0]))


def _around(end: Node, inside: set[Node]) -> Iterator[Node]:
    """What comes into a block and gets to its end around all its layers."""
    ahead = [end]
    for node in ahead:  # which grows
        if node not in inside:
            yield node
        elif operator_of(node) in _AROUND:
            ahead += [source for source in node.all_input_nodes if source not in ahead]


def _axis(layer: Node, source: Node) -> int:
    """Where the units lie that a block reads, told by its first layer."""
    is_map = "conv" in operator_of(layer) and len(shape_of(layer) or ()) == len(shape_of(source) or ())
    return 1 - len(shape_of(source) or ()) if is_map else -1


def _watch(places: Places, block: Block, see: Callable[[Tensor, Tensor], None]) -> None:
    held: list[Tensor] = []
    place = block.reader.args.index(block.source)
    is_changed = any(operator_of(user).endswith("_") for user in block.source.users)

    def hold(args: tuple[Any, ...], _: Batch) -> None:
        held.append(args[place].clone() if is_changed else args[place])

    def see_both(value: Tensor, batch: Batch) -> None:
        see(*(rows_of(part, block.axis, batch.tokens) for part in (held.pop(), value)))

    places.before[block.reader.name].append(hold)
    places.after[block.node.name].append(see_both)


def _see(seen: dict[str, Any], names: Sequence[str], pre: Tensor, post: Tensor) -> None:
    statistic = seen[names[0]].observe(pre, post)
    seen.update(dict.fromkeys(names, statistic))
