"""Walk the original and the cut network side by side, and mend each layer that reads removed units.

At every such layer a new weight is proposed (by `mean`, `least_squares` or `reconstruct`) and judged, on rows not used
to propose it, by how near the cut network's output there comes to the original's: inputs come from the network as cut
and mended so far, so errors made earlier count. Where the layer ends a residual branch, branch plus skip is what must
meet the original's. A proposal that is no better than the weight as it stands is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Node

from secateur import width
from secateur.compensation.layers import UNSEEN, Layer, argument_batches, split_rows, weight_of, write_
from secateur.compensation.proposals import Proposal, Seen, proposals
from secateur.graph import Traced, Walk, operator_of
from secateur.inference import evaluating
from secateur.result import Fold
from secateur.stats import Gram
from secateur.task import Arguments, Task
from secateur.tracing import trace

_PASSING = {"dropout", "alias", "contiguous", "clone", "detach", "to"}


@dataclass(frozen=True)
class _Stop:
    """A linear operator about to run on all batches: its node and weight, and every batch's walk and arguments."""

    node: Node
    weight: str
    walks: tuple[Walk, ...]
    arguments: tuple[tuple[Any, ...], ...]


def mend_(small: nn.Module, traced: Traced, layers: tuple[Layer, ...], task: Task, how: str, rows: int) -> list[Fold]:
    """Mend the layers of the cut network in the order of the data, in place, each guarded."""
    wanted = {layer.weight: layer for layer in layers}
    batches = list(argument_batches(task, rows))
    folds: dict[str, Fold] = {}
    gaining = [layer for layer in layers if layer.bias is not None and layer.bias not in width.tensors_of(small)]
    for layer in gaining:
        width.add_bias_(small, layer.name)  # before the trace, so that what later layers read has it
    with evaluating(traced.model), evaluating(small):
        pairs = zip(_stops(traced, batches), _stops(trace(small, task), batches), strict=True)
        for original, cut in pairs:
            if cut.weight in wanted and cut.weight not in folds:
                layer = wanted[cut.weight]
                folds[cut.weight] = _mend_one_(small, traced, layer, _seen(layer, original, cut), how)
    for layer in gaining:
        if folds[layer.weight].used == "none":
            width.drop_bias_(small, layer.name)
    return [folds[layer.weight] for layer in layers]


def _stops(traced: Traced, batches: list[Arguments]) -> Iterator[_Stop]:
    """Run all batches in step, stopping before each linear operator; a weight changed there takes effect at once."""
    walks = tuple(Walk(traced, batch) for batch in batches)
    for nodes in zip(*walks, strict=True):
        node = nodes[0]
        arguments = tuple(walk.arguments(node) for walk in walks)
        weight = weight_of(traced, node)
        if weight is not None:
            yield _Stop(node, weight, walks, arguments)
        for walk, args in zip(walks, arguments, strict=True):
            walk.set(node, walk.operator(node)(*args))


def _mend_one_(small: nn.Module, traced: Traced, layer: Layer, seen: Seen, how: str) -> Fold:
    original = width.tensors_of(traced.model)[layer.weight].detach().double()[layer.kept_out]
    before, best = proposals(layer, seen, original, _as_it_stands(small, layer), how)
    spread = _spread(seen.unseen)
    if best.name == "none":
        reason = f"no {how} fold lowered the error on unseen rows"
        if seen.unseen.count == 0:
            reason = f"{seen.fitted.count} rows are too few to judge a fold; {UNSEEN} are needed"
        return Fold(layer.name, how, "none", before.error / spread, before.error / spread, reason)
    write_(small, layer, best.solution[:-1].T, best.solution[-1])
    reason = "" if best.name == how else f"{how} was no better on unseen rows"
    return Fold(layer.name, how, best.name, before.error / spread, best.error / spread, reason)


def _as_it_stands(small: nn.Module, layer: Layer) -> Proposal:
    """The cut layer's own weight and bias as [in + 1, out]."""
    tensors = width.tensors_of(small)
    weight = tensors[layer.weight].detach().double()
    has_bias = layer.bias is not None and layer.bias in tensors
    bias = tensors[str(layer.bias)].detach().double() if has_bias else torch.zeros_like(weight[:, 0:1].sum(1))
    return Proposal("none", torch.cat([weight, bias[:, None]], 1).T)


def _seen(layer: Layer, original: _Stop, cut: _Stop) -> Seen:
    """Inputs of the cut layer against what the original put out there, and the original's inputs among themselves."""
    seen: Seen | None = None
    skips = _skip(original), _skip(cut)
    before = 0
    for number, (whole, part) in enumerate(zip(original.arguments, cut.arguments, strict=True)):
        terms = whole[:3] if layer.bias is not None else whole[:2]
        targets = F.linear(*terms)[..., layer.kept_out.to(whole[0].device)]
        if skips[0] is not None and skips[1] is not None:
            skip = original.walks[number].value(skips[0])
            targets = targets + skip[..., layer.kept_out.to(skip.device)] - cut.walks[number].value(skips[1])
        rows = zip(split_rows(part[0], before), split_rows(targets, before), strict=True)
        fitted, unseen = (Gram.of(x, y) for x, y in rows)
        inputs = split_rows(whole[0], before)[0]
        before += fitted.count + unseen.count
        found = Seen(fitted, unseen, Gram.of(inputs, inputs[:, :0]))
        seen = found if seen is None else seen.merge(found)
    assert seen is not None  # the task's batches are never empty
    return seen


def _skip(stop: _Stop) -> Node | None:
    """The other part of the sum that a layer's output goes into, if it goes nowhere else and that part is known."""
    node = stop.node
    while len(node.users) == 1:
        user = next(iter(node.users))
        if operator_of(user) in _PASSING:
            node = user
            continue
        if operator_of(user) not in ("add", "add_") or user.kwargs or len(user.args) != 2:
            return None
        other = user.args[1] if user.args[0] is node else user.args[0]
        return other if isinstance(other, Node) and stop.walks[0].knows(other) and _alike(node, other) else None
    return None


def _alike(node: Node, other: Node) -> bool:
    """Whether the other part has the sum's full shape."""
    return bool(node.meta["val"].shape == other.meta["val"].shape)


def _spread(gram: Gram) -> float:
    """The mean variance of the targets; their mean square where they hardly vary, and one where they are all zero."""
    if gram.count == 0 or len(gram.squares) == 0:
        return 1.0
    power = float((gram.squares / gram.count).mean())
    variance = power - float((gram.cross[-1] / gram.count).square().mean())
    return variance if variance > torch.finfo(torch.float32).eps * power else power or 1.0
