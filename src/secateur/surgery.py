"""Apply a plan to a model, and prove that removing equals silencing."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.errors import ExactnessError, PlanError, first_line
from secateur.graph import Operator, Traced, tensors_in
from secateur.inference import evaluating
from secateur.plan import Certificate, Plan
from secateur.sites import Read, Sites
from secateur.task import Arguments, Task
from secateur.tracing import Example, arguments_of_example, sites_in, trace_on

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
COARSE_TOLERANCE = 2e-2  # half precision: about three decimal digits
ROWS = 16
_SIZES = "depends on sizes that the cut changes: write them as x.shape[…], or protect the sites concerned"


def apply(model: nn.Module, plan: Plan, *, verify: bool = False, example: Example | None = None) -> nn.Module:
    """A new model without what the plan removes; the given one is never touched.

    With `verify`, the new model's outputs on the example are compared with those of the original whose removed units
    are silenced where they are read.

    Raises:
        PlanError: the plan does not fit the model.
        ExactnessError: verification found a difference.
    """
    small = width.copied(model)
    width.cut_(small, plan)
    if verify:
        if example is None:
            raise PlanError("apply(verify=True) needs example=…: inputs, as the model is called, or a task.")
        certify(small, model, plan, example)
    return small


def certified(model: nn.Module, plan: Plan, example: Example) -> tuple[nn.Module, Plan]:
    """The cut model, and the plan with its certificate."""
    small = width.copied(model)
    width.cut_(small, plan)
    return small, replace(plan, certificate=certify(small, model, plan, example))


def certify(small: nn.Module, model: nn.Module, plan: Plan, example: Example) -> Certificate:
    """How far a cut network is from the original whose removed units are silenced where they are read.

    The networks are compared in their own precision, and in float64 where rounding alone could explain a difference.

    Raises:
        ExactnessError: they differ by more than 1e-5 (float32) or 1e-10 (float64) of the largest output.
    """
    arguments = example.example(ROWS) if isinstance(example, Task) else arguments_of_example(example)
    certificate = _compared(small, model, plan, arguments)
    if certificate.relative_difference <= certificate.tolerance:
        return certificate
    doubled = [width.copied(m).double() for m in (small, model)]
    certificate = _compared(doubled[0], doubled[1], plan, _double(arguments))
    if certificate.relative_difference <= certificate.tolerance:
        return certificate
    found = f"by {certificate.relative_difference:.1e} of the largest output"
    raise ExactnessError(
        f"{type(model).__name__}: the cut network differs from the silenced original {found} (tolerance "
        f"{certificate.tolerance:.0e}, {certificate.inputs}); its forward {_SIZES}."
    )


def silenced(traced: Traced, sites: Sites, removed: Mapping[str, tuple[int, ...]], arguments: Arguments) -> Any:
    """The original's output when removed units are silenced: zero where they are summed up, absent where normalised."""
    gone = _gone(sites, removed)

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        for (operand, axis, is_norm), entries in gone.get(node.name, {}).items():
            if is_norm:
                return _normalised_over_rest(args, entries)
            args = (*args[:operand], _masked(args[operand], axis, entries), *args[operand + 1 :])
        return operator(*args)

    return traced.run(arguments, around)


def _compared(small: nn.Module, model: nn.Module, plan: Plan, arguments: Arguments) -> Certificate:
    with evaluating(model), evaluating(small) as predict:
        traced = trace_on(model, arguments)
        wanted = tensors_in(silenced(traced, sites_in(traced), plan.removed, arguments))
        try:
            found = tensors_in(predict(arguments))
        except RuntimeError as error:
            raise ExactnessError(
                f"{type(model).__name__}: the cut network does not run: {first_line(error)}; its forward {_SIZES}."
            ) from error
    worst, scale = _largest(_differences(found, wanted, type(model).__name__)), _largest(wanted)
    dtype = wanted[0].dtype
    relative = worst / scale if scale > 0 else worst
    inputs = f"{len(tensors_in(arguments)[0])} rows of calibration data or example"
    return Certificate(
        worst, relative, TOLERANCE.get(dtype, COARSE_TOLERANCE), inputs, str(dtype).removeprefix("torch.")
    )


def _differences(found: list[Tensor], wanted: list[Tensor], place: str) -> list[Tensor]:
    for f, w in zip(found, wanted, strict=True):
        if f.shape != w.shape:
            shapes = f"{list(f.shape)}, the original {list(w.shape)}"
            raise ExactnessError(f"{place}: the cut network puts out {shapes}; its forward {_SIZES}.")
    return [f.double() - w.double() for f, w in zip(found, wanted, strict=True)]


def _largest(tensors: list[Tensor]) -> float:
    """The largest absolute entry; NaN if one is."""
    largest = [tensor.double().abs().max().cpu() for tensor in tensors if tensor.numel()]
    return float(torch.stack(largest).max()) if largest else 0.0


def _gone(sites: Sites, removed: Mapping[str, tuple[int, ...]]) -> dict[str, dict[tuple[int, int, bool], list[int]]]:
    """For every reading node: operand, axis and kind, and the entries to silence there."""
    gone: dict[str, dict[tuple[int, int, bool], list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, units in removed.items():
        for read in sites[name].reads:
            gone[read.node][(read.operand, read.axis, read.is_norm)] += entries_of(read, units)
    return gone


def entries_of(read: Read, units: tuple[int, ...]) -> list[int]:
    """The entries that some units have at a place where they are read."""
    return [entry for unit in units for entry in read.entries[unit * read.repeat : (unit + 1) * read.repeat]]


def _masked(value: Tensor, axis: int, entries: list[int]) -> Tensor:
    index = torch.tensor(entries, dtype=torch.long, device=value.device)
    return value.index_fill(axis, index, 0.0)


def _normalised_over_rest(args: tuple[Any, ...], entries: list[int]) -> Tensor:
    """Layer-norm over the last axis with the statistics of the entries that stay; the others come out as they may."""
    x, _, weight, bias = args[:4]
    eps = args[4] if len(args) > 4 else 1e-5
    rest = [entry for entry in range(x.shape[-1]) if entry not in set(entries)]
    kept = x[..., rest] if rest else x
    mean = kept.mean(-1, keepdim=True)
    variance = (kept - mean).square().mean(-1, keepdim=True)
    scaled = (x - mean) / (variance + eps).sqrt() * weight
    return scaled if bias is None else scaled + bias


def _double(arguments: Arguments) -> Arguments:
    def doubled(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    doubled_arguments: Arguments = pytree.tree_map(doubled, arguments)
    return doubled_arguments
