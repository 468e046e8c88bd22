"""The layers that read removed units: their weights in both networks, and which entries went."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.graph import Traced
from secateur.plan import Plan
from secateur.task import Arguments, Task

UNSEEN = 5  # every fifth row is kept from the fit, for the guard


@dataclass(frozen=True)
class Layer:
    """A layer [out, in] that reads removed units; entries are those of the original weight that stay or go.

    `bias` is the tensor that can take a constant; None where the layer has none and cannot gain one.
    """

    weight: str
    bias: str | None
    kept: Tensor
    gone: Tensor
    kept_out: Tensor

    @property
    def name(self) -> str:
        """The layer's name in the model."""
        return self.weight.removesuffix(".weight")


def layers_of(traced: Traced, plan: Plan) -> tuple[Layer, ...]:
    """The layers that read removed units, in the order of the data."""
    cut = {(cut.tensor, cut.axis): cut for cut in plan.cuts}
    readers: dict[str, Node] = {}
    for node in traced.nodes:
        weight = weight_of(traced, node)
        if weight is not None and cut.get((weight, 1)) and cut[(weight, 1)].removed:
            readers.setdefault(weight, node)
    layers = []
    for weight, node in readers.items():
        gone = torch.tensor(cut[(weight, 1)].removed, dtype=torch.long)
        out, length = width.tensors_of(traced.model)[weight].shape
        gone_out = cut[(weight, 0)].removed if (weight, 0) in cut else ()
        layers.append(
            Layer(
                weight=weight,
                bias=_bias_of(traced, node),
                kept=_rest(length, gone.tolist()),
                gone=gone,
                kept_out=_rest(out, gone_out),
            )
        )
    return tuple(layers)


def weight_of(traced: Traced, node: Node) -> str | None:
    """The parameter [out, in] that a linear operator multiplies by, where it is used unchanged."""
    if node.op != "call_function" or node.target is not torch.ops.aten.linear.default:
        return None
    weight = node.args[1]
    return traced.tensors.get(weight.name) if isinstance(weight, Node) else None


def argument_batches(task: Task, rows: int) -> Iterator[Arguments]:
    """The model's arguments in the calibration data, up to a number of rows."""
    for batch in task.batches("calibration"):
        arguments = task.arguments(batch)
        taken = min(rows_in(arguments), rows)
        yield rows_at(arguments, slice(taken))
        rows -= taken
        if rows <= 0:
            return


def rows_in(arguments: Arguments) -> int:
    """How many examples a model's arguments hold."""
    args, kwargs = arguments
    return next((len(v) for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.dim()), 0)


def rows_at(arguments: Arguments, places: slice) -> Arguments:
    """Some of the examples in a model's arguments."""
    size = rows_in(arguments)

    def at(value: object) -> object:
        return value[places] if isinstance(value, Tensor) and value.dim() and len(value) == size else value

    args, kwargs = arguments
    return tuple(at(value) for value in args), {key: at(value) for key, value in kwargs.items()}


def split_rows(value: Tensor, before: int) -> tuple[Tensor, Tensor]:
    """Rows to fit on, and every fifth row to judge the fit by; positions and tokens count as rows.

    `before` rows came in earlier batches: which rows are unseen does not depend on how the data is batched.
    """
    rows = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
    unseen = torch.arange(before, before + len(rows), device=rows.device) % UNSEEN == UNSEEN - 1
    return rows[~unseen], rows[unseen]


def write_(small: nn.Module, layer: Layer, weight: Tensor, bias: Tensor) -> None:
    """Put a new weight and bias into a layer of the cut network, in place."""
    tensors = width.tensors_of(small)
    with torch.no_grad():
        tensors[layer.weight].copy_(weight)
        if layer.bias is not None:
            tensors[layer.bias].copy_(bias)


def _bias_of(traced: Traced, node: Node) -> str | None:
    """The bias of a linear operator, or the one its module would gain."""
    if len(node.args) > 2 and isinstance(node.args[2], Node):
        return traced.tensors.get(node.args[2].name)
    weight = weight_of(traced, node)
    if weight is None or not weight.endswith(".weight"):
        return None
    owner = traced.model.get_submodule(weight.removesuffix(".weight"))
    return weight.removesuffix("weight") + "bias" if isinstance(owner, nn.Linear) else None


def _rest(length: int, gone: "tuple[int, ...] | list[int]") -> Tensor:
    kept = torch.ones(length, dtype=torch.bool)
    kept[list(gone)] = False
    return kept.nonzero().flatten()
