"""Walk the original and the cut network side by side, and mend each layer that reads removed units.

At every such layer a new weight is proposed (by `mean`, `least_squares` or `reconstruct`) and judged, on rows not used
to propose it, by how near the cut network's output there comes to the original's: inputs come from the network as cut
and mended so far, so errors made earlier count. Where the layer ends a residual branch, branch plus skip is what must
meet the original's; where a batch-norm follows, what it puts out. A proposal that is no better than the weight as it
stands is refused.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.compensation.batches import UNSEEN, Own, grams_of_all, own_batches, starts_of, unseen_among
from secateur.compensation.layers import Layer, weight_of, write_
from secateur.compensation.norms import steerable
from secateur.compensation.proposals import Proposal, Seen, candidates, chosen
from secateur.compensation.rows import Places, alone, at, read_at, seen_in, shown_in
from secateur.compensation.windows import places_for
from secateur.graph import Traced, Walk, operator_of
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.processes import Processes
from secateur.result import Fold
from secateur.stats import Gram
from secateur.task import Task
from secateur.tracing import trace

MOST_COLUMNS = 8192  # of a layer: a problem of half a GB
_PASSING = {"dropout", "alias", "contiguous", "clone", "detach", "to"}


@dataclass(frozen=True)
class _Stop:
    """A node that runs on all batches: every batch's walk, arguments and, of the original, output.

    The cut network stops before a layer runs, the original after. `tokens` are those that are no padding. The batches
    are this process's; `processes` have them all.
    """

    processes: Processes
    node: Node
    walks: tuple[Walk, ...]
    arguments: tuple[tuple[Any, ...], ...]
    tokens: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class _Batch:
    """Where a batch is looked at, which of these rows only judge, and what the cut layer should put out at each.

    `before` examples came in earlier batches, of `total` in all.
    """

    number: int
    where: Places
    judging: Tensor
    wanted: Tensor
    before: int
    total: int


def mend_(
    small: nn.Module, traced: Traced, layers: Sequence[Layer], task: Task, how: str, rows: int
) -> dict[str, Fold]:
    """Mend the layers of the cut network in the order of the data, in place, each guarded; the folds by weight."""
    batches = own_batches(task, rows)
    folds: dict[str, Fold] = {}
    known = width.tensors_of(small)
    gaining = [layer for layer in layers if layer.bias is not None and layer.bias not in known]
    for layer in gaining:
        width.add_bias_(small, layer.name)  # before the trace, so that what later layers read has it
    with evaluating(traced.model), evaluating(small):
        after = trace(small, task)
        starts = _first_uses(after)
        ordered = sorted(layers, key=lambda layer: list(starts).index(layer.weight))
        ends = _first_uses(traced)
        wanted = [layer.target or ends[layer.weight] for layer in ordered]
        originals = _stops(traced, batches, wanted, run_first=True)
        cuts = _stops(after, batches, [starts[layer.weight] for layer in ordered])
        for layer, node, original, cut in zip(ordered, wanted, originals, cuts, strict=True):
            assert original.node.name == node  # both networks run their layers in the same order
            folds[layer.weight] = _mend_one_(small, traced, layer, (original, cut), how)
        means = {layer.norm.mean: known[layer.norm.mean].clone() for layer in layers if layer.norm}
    for name, mean in means.items():  # buffers are as they were again
        known[name].copy_(mean)
    for layer in gaining:
        if folds[layer.weight].used == "none":
            width.drop_bias_(small, layer.name)
    return folds


def _first_uses(traced: Traced) -> dict[str, str]:
    """The weights of all layers, each with the first node that uses it, in the order of the data."""
    uses: dict[str, str] = {}
    for node in traced.nodes:
        weight = weight_of(traced, node)
        if weight is not None:
            uses.setdefault(weight, node.name)
    return uses


def _stops(traced: Traced, own: Own, places: Sequence[str], *, run_first: bool = False) -> Iterator[_Stop]:
    """Run all batches in step, stopping at some nodes: before one runs, so that a weight changed there takes effect at
    once, or after.
    """
    walks, texts, stops = tuple(Walk(traced, batch) for batch in own.batches), texts_of(traced), set(places)
    paddings = [texts.padding(batch) for batch in own.batches]
    for nodes in zip(*walks, strict=True):
        node = nodes[0]
        arguments = tuple(walk.arguments(node) for walk in walks)
        is_stop = node.name in stops
        outputs: tuple[Any, ...] = ()
        if run_first or not is_stop:
            outputs = tuple(walk.operator(node)(*args) for walk, args in zip(walks, arguments, strict=True))
        if is_stop:
            tokens = tuple(padding.at(node) for padding in paddings)
            yield _Stop(own.processes, node, walks, arguments, tokens, outputs)
        outputs = outputs or tuple(walk.operator(node)(*args) for walk, args in zip(walks, arguments, strict=True))
        for walk, output in zip(walks, outputs, strict=True):
            walk.set(node, output)


def _mend_one_(small: nn.Module, traced: Traced, layer: Layer, stops: tuple[_Stop, _Stop], how: str) -> Fold:
    scale, steered = _scale(small, layer)
    if math.prod(stops[1].arguments[0][1].shape[1:]) > MOST_COLUMNS:
        return _left_alone(layer, stops, scale, steered, how)
    original = width.tensor_of(small if layer.target else traced.model, layer.weight).detach().double()[layer.kept_out]
    original = original * scale.reshape(-1, *[1] * (original.dim() - 1))
    old = _as_it_stands(small, layer, scale)
    seen = _seen(layer, stops, scale, steered, how)
    parts = zip(seen, original.chunk(layer.groups), old.solution.chunk(layer.groups, 1), strict=True)
    made = [candidates(layer, part, whole, Proposal("none", stands), how) for part, whole, stands in parts]
    before, best = chosen(made)
    variance = sum(spread(part.unseen) for part in seen) / len(seen)
    if best.name == "none":
        reason = f"no {how} fold lowered the error on unseen rows"
        if seen[0].unseen.count == 0:
            reason = f"{seen[0].fitted.count} rows are too few to judge a fold; {UNSEEN} are needed"
        return Fold(layer.name, how, "none", before.error / variance, before.error / variance, reason)
    solution = best.solution / scale
    write_(small, layer, solution[:-1].T, solution[-1])
    reason = "" if best.name == how else f"{how} was no better on unseen rows"
    return Fold(layer.name, how, best.name, before.error / variance, best.error / variance, reason)


def _scale(small: nn.Module, layer: Layer) -> tuple[Tensor, Tensor]:
    """What a batch-norm after the layer multiplies its outputs by, and which of them can be steered through it."""
    weight = width.tensor_of(small, layer.weight)
    ones = torch.ones(len(weight), dtype=torch.float64, device=weight.device)
    return steerable(layer.norm.scale(small) if layer.norm else ones)


def _as_it_stands(small: nn.Module, layer: Layer, scale: Tensor) -> Proposal:
    """The cut layer's own weight and bias as [columns + 1, out], scaled."""
    tensors = width.tensors_of(small)
    weight = tensors[layer.weight].detach().double().flatten(1)
    has_bias = layer.bias is not None and layer.bias in tensors
    bias = tensors[str(layer.bias)].detach().double() if has_bias else torch.zeros_like(weight[:, 0:1].sum(1))
    return Proposal("none", torch.cat([weight, bias[:, None]], 1).T * scale)


def _seen(layer: Layer, stops: tuple[_Stop, _Stop], scale: Tensor, steered: Tensor, how: str) -> list[Seen]:
    """What was seen at every group of the layer, over all batches."""
    # a layer of many columns is a large problem: float64 where it is cheap or asked for by the model
    inputs = stops[1].arguments[0][0]
    dtype = torch.float64 if layer.window is None else torch.promote_types(inputs.dtype, torch.float32)
    seen: list[Seen] = []
    for batch in _batches(layer, stops, scale, steered):
        read = read_at(layer, stops[1].arguments[batch.number][0], batch.where)
        others = read
        if how != "reconstruct":
            whole = stops[0].arguments[batch.number][0]
            shown = shown_in(layer, whole, stops[0].tokens[batch.number])
            others = alone(layer, whole, batch.where, shown, before=batch.before, total=batch.total)
        groups = zip(read, batch.wanted.chunk(layer.groups, 1), others, strict=True)
        found = [seen_in(group, batch.judging, how=how, dtype=dtype) for group in groups]
        seen = [old.merge(new) for old, new in zip(seen, found, strict=True)] if seen else found
    together = grams_of_all([gram for part in seen for gram in part.grams], stops[1].processes)
    return [Seen(*three) for three in zip(*[iter(together)] * 3, strict=True)]


def _left_alone(layer: Layer, stops: tuple[_Stop, _Stop], scale: Tensor, steered: Tensor, how: str) -> Fold:
    """The record of a layer that is too wide to be solved for: what it misses as it stands."""
    cut = stops[1]
    error, target = 0.0, Gram.of(scale.new_zeros(0, 0), scale.new_zeros(0, len(scale)))
    for batch in _batches(layer, stops, scale, steered):
        output = cut.walks[batch.number].operator(cut.node)(*cut.arguments[batch.number])
        missed = at(layer, output, batch.where) * scale - batch.wanted
        error += float(missed[batch.judging].double().square().sum())
        wanted = batch.wanted[batch.judging]
        target = target.merge(Gram.of(wanted[:, :0], wanted))
    (target,) = grams_of_all([target], cut.processes)
    error = sum(cut.processes.each(partial(float, error)))
    error /= max(target.count * len(scale), 1) * spread(target)
    columns = math.prod(cut.arguments[0][1].shape[1:])
    reason = f"its {columns} inputs are too many to solve for; {MOST_COLUMNS} are the most"
    return Fold(layer.name, how, "none", error, error, reason)


def _batches(layer: Layer, stops: tuple[_Stop, _Stop], scale: Tensor, steered: Tensor) -> Iterator[_Batch]:
    """Where each batch is looked at, and what the cut layer should put out there."""
    original, cut = stops
    skips = _skip(original, layer), _skip(cut, layer)
    *starts, total = starts_of([len(args[0]) for args in cut.arguments], cut.processes)
    columns = math.prod(cut.arguments[0][1].shape[1:])
    stays = layer.kept_out.to(scale.device)
    rows_before = 0  # which matters where there are too few examples to share
    for number, (whole, before) in enumerate(zip(original.arguments, starts, strict=True)):
        output = original.outputs[number]
        axes = [size for axis, size in enumerate(output.shape) if axis != layer.axis % output.dim()]
        shown = shown_in(layer, output, original.tokens[number])
        where = places_for(axes, shown, before=before, total=total, columns=columns)
        wanted = (at(layer, output, where)[:, stays] - _own_constant(layer, whole, stays)) * scale
        if skips[0] is not None and skips[1] is not None:
            skip = at(layer, original.walks[number].value(skips[0]), where)[:, stays]
            missed = skip - at(layer, cut.walks[number].value(skips[1]), where)
            wanted = wanted + torch.where(steered, missed, torch.zeros_like(missed))
        judging = unseen_among(where[0], before=before, rows_before=rows_before, total=total).to(scale.device)
        yield _Batch(number, where, judging, wanted, before, total)
        rows_before += len(where[0])


def _own_constant(layer: Layer, arguments: tuple[Any, ...], stays: Tensor) -> Tensor | float:
    """The constant in the original's output that is no tensor of the model's, so that none can take its place."""
    bias = arguments[2] if len(arguments) > 2 else None
    return bias[stays] if isinstance(bias, Tensor) and layer.bias is None else 0.0


def _skip(stop: _Stop, layer: Layer) -> Node | None:
    """The other part of the sum that a layer's output goes into, if it goes nowhere else and that part is known."""
    norm = "batch_norm" if layer.norm else ""
    node = stop.node
    while len(node.users) == 1:
        user = next(iter(node.users))
        if operator_of(user) in _PASSING or (operator_of(user) == norm and node is stop.node):
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


def spread(gram: Gram) -> float:
    """The mean variance of the targets; their mean square where they hardly vary, and one where they are all zero."""
    if gram.count == 0 or len(gram.squares) == 0:
        return 1.0
    power = float((gram.squares / gram.count).mean())
    variance = power - float((gram.cross[-1] / gram.count).square().mean())
    return variance if variance > torch.finfo(torch.float32).eps * power else power or 1.0
