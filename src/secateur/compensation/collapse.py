"""Put one fitted linear operator in the place of each of several stretches of layers: ridge least squares, no training.

Inputs come from the network as collapsed so far, targets from the original, so that errors made earlier are corrected
and not added up.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.compensation.batches import argument_batches, unseen_among
from secateur.compensation.departure import worse
from secateur.compensation.layers import Layer, later_layers
from secateur.compensation.proposals import RIDGES
from secateur.compensation.rows import Places, at, read_at, shown_in
from secateur.compensation.walk import MOST_COLUMNS, mend_, spread
from secateur.compensation.windows import Window, places_for
from secateur.depth import change_
from secateur.errors import DataError, ModelError
from secateur.graph import Traced, Walk, operator_of
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.plan import LayerEdit, Part, Swap
from secateur.result import Fold
from secateur.sites import Stretch
from secateur.stats import Gram
from secateur.task import Arguments, Task
from secateur.tracing import trace

_CONVOLUTIONS = {1: "conv1d", 2: "conv2d", 3: "conv3d"}


@dataclass(frozen=True)
class Fit:
    """The operator that stands for a stretch: its weight [out, in, *kernel] and bias, in float64.

    `error` is the mean square of what it misses on unseen rows, relative to the variance of what should come out.
    """

    weight: Float64[Tensor, "outputs inputs ..."]
    bias: Float64[Tensor, " outputs"]
    error: float


def fits(traced: Traced, stretches: Sequence[Stretch], task: Task, rows: int) -> dict[str, Fit]:
    """For every stretch the operator that stands for it best in the original network, each on its own.

    Raises:
        ModelError: a stretch has too many inputs to be solved for.
        DataError: fewer than two rows of data, or values that are NaN or infinite.
    """
    by_end = {stretch.node: stretch for stretch in stretches}
    by_source = {stretch.source for stretch in stretches}
    held: dict[str, tuple[Tensor, ...]] = {}
    found: dict[str, Fit] = {}
    with evaluating(traced.model):
        for node, outputs, tokens in _run(traced, list(argument_batches(task, rows)), by_source | set(by_end)):
            stretch = by_end.get(node.name)
            if stretch is not None:
                found[stretch.name] = _fit(stretch, held[stretch.source], outputs, tokens)
            if node.name in by_source:
                held[node.name] = tuple(output.clone() for output in outputs) if _is_changed(node) else outputs
    return found


def collapse(
    model: nn.Module, stretches: Sequence[Stretch], task: Task, *, rows: int, others: bool = True
) -> tuple[nn.Module, list[LayerEdit], tuple[Fold, ...]]:
    """A copy of a model with one operator in the place of each stretch, what was done at each, and all folds.

    `others` solves the layers behind the first stretch anew, too, so that they correct what it leaves; that is undone
    where it takes the network's output further from the original's than the operators alone do.

    Raises:
        ModelError: a stretch has too many inputs to be solved for.
    """
    for stretch in stretches:
        _check_size(stretch)
    small = width.copied(model)
    traced = trace(model, task)
    changes = {stretch.name: changes_of(stretch) for stretch in stretches}
    change_(small, [change for stretch in stretches for change in changes[stretch.name]])
    operators = {weight_name(stretch): layer_of(stretch) for stretch in stretches}
    layers = list(operators.values())
    whole = width.copied(small)
    folds = mend_(small, traced, layers, task, "reconstruct", rows)
    if others:
        first = min((stretch.node for stretch in stretches), key=[node.name for node in traced.nodes].index)
        layers += later_layers(traced, first, _staying(small, traced) - set(operators))
        solved = mend_(whole, traced, layers, task, "reconstruct", rows)
        reason = worse(small, whole, traced, task, rows)
        alone = {name: _refused(fold, reason) for name, fold in solved.items()} | folds
        small, folds = (small, alone) if reason else (whole, solved)
    edits = [
        LayerEdit(stretch.name, "collapse", changes[stretch.name], error=folds[weight_name(stretch)].error_after)
        for stretch in stretches
    ]
    return small, edits, tuple(folds[layer.weight] for layer in layers)


def _refused(fold: Fold, reason: str) -> Fold:
    return replace(fold, used="none", error_after=fold.error_before, reason=reason)


def mend_behind(
    small: nn.Module, traced: Traced, first: str, task: Task, rows: int
) -> tuple[nn.Module, tuple[Fold, ...]]:
    """A copy of a network that lost layers, those behind a node of the original solved anew; and their folds.

    All of them are kept only where together they bring the output nearer to the original's.
    """
    mended = width.copied(small)
    layers = later_layers(traced, first, _staying(small, traced))
    by_weight = mend_(mended, traced, layers, task, "reconstruct", rows)
    folds = tuple(by_weight[layer.weight] for layer in layers)
    reason = worse(small, mended, traced, task, rows)
    if not reason:
        return mended, folds
    return width.copied(small), tuple(_refused(fold, reason) for fold in folds)


def _staying(small: nn.Module, traced: Traced) -> set[str]:
    """The tensors that a network which lost layers has from the original, by name."""
    before, after = width.tensors_of(traced.model), width.tensors_of(small)
    return {name for name, tensor in after.items() if name in before and before[name].shape == tensor.shape}


def changes_of(stretch: Stretch) -> tuple[Swap, ...]:
    """The modules that change when one operator takes the place of a stretch."""
    operator = Part("linear", {"in_features": stretch.inputs, "out_features": stretch.outputs, "bias": True})
    if stretch.kernel:
        padding = tuple(size // 2 for size in stretch.kernel)
        window = {"kernel_size": stretch.kernel, "stride": stretch.stride, "padding": padding}
        sizes = {"in_channels": stretch.inputs, "out_channels": stretch.outputs, "bias": True}
        operator = Part(_CONVOLUTIONS[len(stretch.kernel)], {**sizes, **window})
    whole = Part("sequence", parts=(operator, Part(stretch.then))) if stretch.then else operator
    # in the last place: what runs amid the stretch runs before the operator, as it did before the stretch's end
    *others, last = stretch.modules
    return (*(Swap(module, Part("identity")) for module in others), Swap(last, whole))


def weight_name(stretch: Stretch) -> str:
    """The name of the operator's weight in the collapsed network."""
    return f"{stretch.modules[-1]}.0.weight" if stretch.then else f"{stretch.modules[-1]}.weight"


def run_with(traced: Traced, stretch: Stretch, fit: Fit, arguments: Arguments) -> Any:
    """The network's output when the operator stands for a stretch."""
    walk = Walk(traced, arguments)
    source = next(node for node in traced.nodes if node.name == stretch.source)
    given: Any = walk.value(source).clone() if source.op == "placeholder" else None
    for node in walk:
        is_end = node.name == stretch.node
        walk.set(node, applied(stretch, fit, given) if is_end else walk.operator(node)(*walk.arguments(node)))
        if node is source:
            given = walk.value(node).clone()  # what is behind may change it in place
    return walk.output


def applied(stretch: Stretch, fit: Fit, x: Tensor) -> Tensor:
    """What the operator that stands for a stretch makes of its input."""
    weight, bias = fit.weight.to(x), fit.bias.to(x)
    if not stretch.kernel:
        return F.linear(x, weight, bias)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(stretch.kernel) - 1]
    return convolve(x, weight, bias, stretch.stride, tuple(size // 2 for size in stretch.kernel))


def _run(
    traced: Traced, batches: list[Arguments], stops: Container[str]
) -> Iterator[tuple[Node, tuple[Any, ...], tuple[Tensor | None, ...]]]:
    """Run all batches in step; stop at some inputs and nodes with what each has given, and which tokens are real."""
    walks, texts = tuple(Walk(traced, batch) for batch in batches), texts_of(traced)
    paddings = [texts.padding(batch) for batch in batches]
    for node in traced.nodes:
        if node.op == "placeholder" and node.name in stops:
            yield node, tuple(walk.value(node) for walk in walks), ()
    for nodes in zip(*walks, strict=True):
        node = nodes[0]
        outputs = tuple(walk.operator(node)(*walk.arguments(node)) for walk in walks)
        for walk, output in zip(walks, outputs, strict=True):
            walk.set(node, output)
        if node.name in stops:
            yield node, outputs, tuple(padding.at(node) for padding in paddings)


def _fit(
    stretch: Stretch, inputs: tuple[Tensor, ...], targets: tuple[Tensor, ...], tokens: tuple[Tensor | None, ...]
) -> Fit:
    """The operator from inputs to targets, each given batch by batch, as are the tokens that are no padding."""
    _check_size(stretch)
    fitted, unseen = _sums(layer_of(stretch), inputs, targets, tokens)
    _check_rows(stretch, fitted.merge(unseen))
    prior = torch.zeros_like(fitted.cross)
    judge = unseen if unseen.count else fitted
    best = min((fitted.solve(ridge, prior) for ridge in RIDGES), key=judge.error)
    weight = best[:-1].T.reshape(stretch.outputs, stretch.inputs, *stretch.kernel)
    return Fit(weight, best[-1], judge.error(best) / spread(judge))


def _check_rows(stretch: Stretch, seen: Gram) -> None:
    if seen.count < 2:
        rows = "1 row" if seen.count else "no rows"
        raise DataError(
            f"{stretch.name}: the calibration data has {rows} there; a fit needs at least two, and hundreds to be good."
        )
    if not all(bool(torch.isfinite(sums).all()) for sums in (seen.inputs, seen.cross, seen.squares)):
        raise DataError(f"{stretch.name}: what comes in or out there is NaN or infinite; look at data and weights.")


def _check_size(stretch: Stretch) -> None:
    columns = stretch.inputs * prod(stretch.kernel)
    if columns > MOST_COLUMNS:
        raise ModelError(
            f"{stretch.name}: an operator of {columns} inputs is too large to be solved for; {MOST_COLUMNS} are the "
            "most. Leave this stretch as it is."
        )


def _sums(
    layer: Layer, inputs: tuple[Tensor, ...], targets: tuple[Tensor, ...], tokens: tuple[Tensor | None, ...]
) -> tuple[Gram, Gram]:
    """The least-squares problem on the rows to fit, and on those that only judge."""
    dtype = torch.float64 if layer.window is None else torch.promote_types(inputs[0].dtype, torch.float32)
    columns = len(layer.kept) * prod(layer.window.kernel if layer.window else ())
    total = sum(len(batch) for batch in targets)
    before = rows_before = 0
    found: list[tuple[Gram, Gram]] = []
    for x, y, shown in zip(inputs, targets, tokens, strict=True):
        axes = [size for axis, size in enumerate(y.shape) if axis != layer.axis % y.dim()]
        where: Places = places_for(axes, shown_in(layer, y, shown), before=before, total=total, columns=columns)
        judging = unseen_among(where[0], before=before, rows_before=rows_before, total=total)
        read, wanted = read_at(layer, x, where)[0], at(layer, y, where)
        fitted, unseen = (Gram.of(read[rows], wanted[rows], dtype) for rows in (~judging, judging))
        found.append((fitted, unseen))
        before, rows_before = before + len(y), rows_before + len(where[0])
    return reduce(Gram.merge, (fitted for fitted, _ in found)), reduce(Gram.merge, (unseen for _, unseen in found))


def layer_of(stretch: Stretch) -> Layer:
    """The operator of a stretch as a layer that loses nothing."""
    window = None
    if stretch.kernel:
        sides = tuple((size // 2, size // 2) for size in stretch.kernel)
        window = Window(stretch.kernel, stretch.stride, sides, (1,) * len(stretch.kernel), 1)
    name = weight_name(stretch)
    kept = torch.ones(stretch.inputs, dtype=torch.bool).nonzero().flatten()
    return Layer(
        weight=name,
        bias=name.removesuffix("weight") + "bias",
        kept=kept,
        gone=kept[:0],
        kept_out=torch.arange(stretch.outputs),
        window=window,
        target=stretch.node,
    )


def _is_changed(node: Node) -> bool:
    """Whether somebody changes a node's value in place after it was given."""
    return any(operator_of(user).endswith("_") for user in node.users)
