"""A network as boxes and lines: its layers, activations and joins, with the channels they put out before and after."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor
from torch.fx import Node

from secateur.activations import activations_in
from secateur.graph import Traced, module_of, operator_of, shape_of, shapes_of
from secateur.result import Block
from secateur.sites import Activation

_LAYERS = {"linear", "mm", "matmul", "bmm", "addmm", "baddbmm", "einsum", "embedding", "gru", "lstm", "rnn_tanh"}
_ATTENTION = "scaled_dot_product_attention"
INPUT = "input"


def blocks_of(original: Traced, final: Traced, gone: Collection[str]) -> tuple[Block, ...]:
    """The original's blocks in the order of the data, each with the channels that the final network's has.

    `gone` are the names of activations that were made linear. A layer is gone where its weight is.
    """
    after = {block.tensor: block.before for block in _drawn(final) if block.tensor}
    activations = {one.name: one for one in activations_in(original)}

    def left(block: Block) -> int:
        if block.tensor:
            return after.get(block.tensor, 0)
        fed = activations[block.name].before if block.name in activations else ()
        is_gone = block.name in gone or (fed and not any(weight in after for weight in fed))
        return 0 if is_gone else block.before

    return tuple(replace(block, after=left(block)) for block in _drawn(original))


@dataclass
class _Drawing:
    """Blocks found so far, by which of them each value was made, and which values follow from weights alone."""

    traced: Traced
    blocks: list[Block] = field(default_factory=list)
    makers: dict[Node, frozenset[int]] = field(default_factory=dict)
    weights: dict[Node, str] = field(default_factory=dict)

    def add(self, node: Node, block: Block) -> None:
        """One more block, which makes a node's value."""
        self.makers[node] = frozenset([len(self.blocks)])
        self.blocks.append(block)


def _drawn(traced: Traced) -> tuple[Block, ...]:
    drawing = _Drawing(traced)
    activations = {one.node: one for one in activations_in(traced)}
    for node in traced.nodes:
        if node.op == "placeholder":
            _place_(drawing, node)
        elif node.op == "call_function":
            _draw_(drawing, node, activations)
    return tuple(drawing.blocks)


def _place_(drawing: _Drawing, node: Node) -> None:
    """A tensor of the model's, or an input."""
    traced = drawing.traced
    if node.name in traced.tensors:
        drawing.weights[node] = traced.tensors[node.name]
    elif node.name in traced.inputs and isinstance(node.meta.get("val"), Tensor):
        drawing.add(node, Block(str(node.name), INPUT, "", _channels(node), 0, ()))


def _draw_(drawing: _Drawing, node: Node, activations: Mapping[str, Activation]) -> None:
    """A layer, an activation or a join; or nothing, for whatever keeps to what it reads."""
    weights = [drawing.weights[source] for source in node.all_input_nodes if source in drawing.weights]
    fed = [drawing.makers[source] for source in node.all_input_nodes if drawing.makers.get(source)]
    if weights and not fed:
        drawing.weights[node] = weights[0]  # such as a weight that is computed from others
        return
    operator, inputs = operator_of(node), _told(drawing, fed)
    if not inputs or not _is_tensors(node):
        return  # sizes and constants
    if weights and (operator in _LAYERS or operator.startswith("conv")):
        drawing.add(node, Block(weights[0].rpartition(".")[0], operator, weights[0], _channels(node), 0, inputs))
    elif node.name in activations:
        one = activations[node.name]
        drawing.add(node, Block(one.name, one.operator, "", one.units, 0, inputs))
    elif operator == _ATTENTION or len({part for part in fed if part & set(inputs)}) > 1:
        drawing.add(node, Block(module_of(node), operator, "", 0, 0, inputs))
    else:
        drawing.makers[node] = frozenset(inputs)


def _told(drawing: _Drawing, fed: list[frozenset[int]]) -> tuple[int, ...]:
    """The blocks that were read; inputs such as masks only where nothing else was."""
    every = sorted(set().union(*fed))
    layers = [number for number in every if drawing.blocks[number].operator != INPUT]
    return tuple(layers or every)


def _is_tensors(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and any(isinstance(v, Tensor) for v in value))


def _channels(node: Node) -> int:
    """Along the second axis of maps, along the last of anything else."""
    shape = shape_of(node) or next(iter(_shapes(node)), ())
    if operator_of(node).startswith("conv") or (node.op == "placeholder" and len(shape) > 3):
        return shape[1]
    return shape[-1] if shape else 0


def _shapes(node: Node) -> Iterator[tuple[int, ...]]:
    return (shape for shape in shapes_of(node) if shape)
