"""Blocks of a network that are linear up to their last modules, each made one layer and these."""

import copy
from collections.abc import Sequence
from math import prod

from torch import nn

from secateur.depth import First, part_of
from secateur.errors import ModelError
from secateur.folding.chains import Layer, layers_in
from secateur.folding.modules import module_of
from secateur.folding.placing import Folded, like, put_
from secateur.folding.proof import check_equal
from secateur.folding.segments import Segment, candidate_of, costs, outline
from secateur.folding.skips import Block, blocks_in, inputs_of
from secateur.folding.worth import Candidate, Worth
from secateur.graph import shape_of
from secateur.plan import LayerEdit
from secateur.tracing import Example, arguments_of_example, trace
from secateur.width import copied


def absorb(model: nn.Module, example: Example, worth: Worth) -> Folded:
    """A new network with a layer in the place of every block that is linear, where that does not cost more.

    Raises:
        ExactnessError: the new network computes something else.
    """
    arguments = arguments_of_example(example)
    traced = trace(model, example)
    found, refused = blocks_in(traced, layers_in(traced))
    inputs = inputs_of(model, [block.name for block in found], arguments)
    blocks: list[Block] = []
    for block in _innermost(found):
        why = _why_not(block, model, inputs.get(block.name, 0), worth)
        if why:
            refused = (*refused, (block.name, why))
        else:
            blocks.append(block)
    small = copied(model)
    edits = tuple(_replace_(small, block, inputs[block.name]) for block in blocks)
    check_equal(small, model, arguments, lambda net: [_replace_(net, each, inputs[each.name]) for each in blocks])
    return Folded(small, edits, refused)


def _innermost(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that hold no other; those around them may follow once these are one layer."""
    return [b for b in blocks if not any(other.name.startswith(f"{b.name}.") for other in blocks)]


def _why_not(block: Block, model: nn.Module, inputs: int, worth: Worth) -> str:
    """Why a block is left as it is; "" if it need not be."""
    if not inputs:
        return f"{block.name}: it is called with different inputs or gives several outputs; only one of each folds."
    try:
        for name in block.tail:
            part_of(model.get_submodule(name))
    except ModelError as error:
        return str(error)
    one = Candidate(lambda: module_of(block.map, _place(block)), (shape_of(block.source) or ())[1:], _macs(block))
    parts = [candidate_of(Segment((layer,))) for layer in block.layers]
    pays, why = costs(parts, one, outline(block.map), worth)
    return "" if pays else f"{block.name}: {why}"


def _replace_(model: nn.Module, block: Block, inputs: int) -> LayerEdit:
    """Put one layer and the block's last modules in its place, in place."""
    old = _place(block)
    one = like(module_of(block.map, model.get_submodule(_last(block).name)), old)
    parts = [one, *(copy.deepcopy(model.get_submodule(name)) for name in block.tail)]
    if inputs > 1:
        new: nn.Module = First(*parts)
    else:
        new = nn.Sequential(*parts) if block.tail else one
    new.training = old.training
    change = put_(model, block.name, new)
    before = round(sum(candidate_of(Segment((layer,))).macs for layer in block.layers))
    cost = f"{round(_macs(block)):,} multiply-adds per row instead of {before:,}"
    return LayerEdit(block.name, "fold", (change,), reason=f"{block.map.name} became {outline(block.map)}: {cost}")


def _last(block: Block) -> Layer:
    return [layer for layer in block.layers if layer.is_product][-1]


def _place(block: Block) -> nn.Module:
    return _last(block).module


def _macs(block: Block) -> float:
    return prod((shape_of(block.node) or (1,))[1:]) * prod(block.map.weight.shape[1:])
