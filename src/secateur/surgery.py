"""Apply a plan to a model, and prove that removing equals silencing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from secateur import width
from secateur.errors import ExactnessError, PlanError, first_line
from secateur.graph import Traced
from secateur.inference import evaluating
from secateur.plan import Certificate, Plan
from secateur.programs import FAILURES
from secateur.reading import silenced
from secateur.replay import check_complete, replay_
from secateur.sites import Sites
from secateur.task import Arguments, Task, rows_in, tensors_in
from secateur.tracing import Example, arguments_of_example, retraced, sites_for, trace

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
COARSE_TOLERANCE = 2e-2  # half precision: about three decimal digits
TELLING = 1e-2  # of the cut's own effect: a difference this near to it may be an error as well as rounding
ROWS = 16
_SIZES = "depends on sizes that the cut changes: write them as x.shape[…], or protect the sites concerned"


def apply(model: nn.Module, plan: Plan, *, verify: bool = False, example: Example | None = None) -> nn.Module:
    """A new model without what the plan removes; the given one is never touched.

    With `verify`, the new model's outputs on the example are compared with those of the original whose removed units
    are silenced where they are read.

    Raises:
        PlanError: the plan does not fit the model, or brings in layers whose weights it does not hold.
        ExactnessError: verification found a difference.
    """
    check_complete(plan)
    small = width.copied(model)
    replay_(small, plan)
    if verify:
        if example is None:
            raise PlanError("apply(verify=True) needs example=…: inputs, as the model is called, or a task.")
        certify(small, model, plan, example)
    return small


def certified(model: nn.Module, plan: Plan, example: Example) -> tuple[nn.Module, Plan]:
    """The cut model, and the plan with its certificate."""
    small = apply(model, plan)
    return small, replace(plan, certificate=certify(small, model, plan, example))


def certify(small: nn.Module, model: nn.Module, plan: Plan, example: Example) -> Certificate:
    """How far a cut network is from the original whose removed units are silenced where they are read.

    The networks are compared in their own precision, and in float64 where rounding alone could explain a difference.

    Raises:
        ExactnessError: they differ by more than 1e-5 (float32) or 1e-10 (float64) of the largest output.
        PlanError: the plan changes layers as well.
    """
    if plan.layers:
        raise PlanError(
            f"{plan.layers[0].name}: the plan changes {len(plan.layers)} layers, but the proof is of cuts alone; "
            "verify the plan of the cuts apart, on the network whose layers are changed."
        )
    arguments = example.example(ROWS) if isinstance(example, Task) else arguments_of_example(example)
    traced = trace(model, example)  # on as few rows as everywhere: its graph is known already
    certificate = proven(small, original_of(traced, arguments), sites_for(traced, plan), plan)
    if certificate.relative_difference <= certificate.tolerance:
        return certificate
    found = f"by {certificate.relative_difference:.1e} of the largest output"
    raise ExactnessError(
        f"{type(model).__name__}: the cut network differs from the silenced original {found} (tolerance "
        f"{certificate.tolerance:.0e}, {certificate.inputs}); its forward {_SIZES}."
    )


@dataclass(frozen=True)
class Original:
    """The network that cut ones are compared with: its graph, what goes in, and what it puts out.

    It must stay as it is while it is compared with.
    """

    traced: Traced
    arguments: Arguments
    outputs: tuple[Tensor, ...]

    @cached_property
    def in_double(self) -> "Original":
        """A copy in float64."""
        model, arguments = width.doubled(self.traced.model), doubled(self.arguments)
        with evaluating(model) as predict:
            outputs = tensors_in(predict(arguments))
        return Original(retraced(self.traced, model, arguments, outputs), arguments, tuple(outputs))


def original_of(traced: Traced, arguments: Arguments) -> Original:
    """A traced network, to compare cut ones with."""
    with evaluating(traced.model) as predict:
        return Original(traced, arguments, tuple(tensors_in(predict(arguments))))


def proven(
    small: nn.Module, original: Original, sites: Sites, plan: Plan, in_double: Callable[[], nn.Module] | None = None
) -> Certificate:
    """The comparison in the networks' own precision, or in float64 where that alone tells an error from rounding.

    `in_double` gives the cut network in float64, where there is a shorter way to it than a copy.

    Raises:
        ExactnessError: the cut network does not run, or puts out other shapes.
    """
    certificate, effect = _compared(small, original, sites, plan)
    if certificate.relative_difference <= certificate.tolerance and certificate.max_difference <= TELLING * effect:
        return certificate
    small = in_double() if in_double else width.doubled(small)
    return _compared(small, original.in_double, sites, plan)[0]


def _compared(small: nn.Module, original: Original, sites: Sites, plan: Plan) -> tuple[Certificate, float]:
    """How far a cut network's outputs are from the silenced original's, and how far those are from the original's."""
    traced, arguments = original.traced, original.arguments
    place = type(traced.model).__name__
    with evaluating(traced.model), evaluating(small) as predict:
        try:  # first, since what does not run is known at once
            found = tensors_in(predict(arguments))
        except FAILURES as error:
            raise ExactnessError(
                f"{place}: the cut network does not run: {first_line(error)}; its forward {_SIZES}."
            ) from error
        wanted = tensors_in(silenced(traced, sites, plan.removed, arguments))
    network, remedy = f"{place}: the cut network", f"its forward {_SIZES}"
    worst = largest(differences(found, wanted, network, remedy))
    scale = largest([w[w.isfinite()] for w in wanted])  # infinite are places that are masked out
    dtype = wanted[0].dtype
    relative = worst / scale if scale > 0 else worst
    inputs = f"{rows_in(arguments)} rows of calibration data or example"
    tolerance = TOLERANCE.get(dtype, COARSE_TOLERANCE)
    certificate = Certificate(worst, relative, tolerance, inputs, str(dtype).removeprefix("torch."))
    return certificate, largest(differences(original.outputs, wanted, network, remedy))


def differences(found: Sequence[Tensor], wanted: Sequence[Tensor], network: str, remedy: str) -> list[Tensor]:
    """What a network's outputs differ by from those that are wanted, in float64; nothing where both are infinite alike.

    Raises:
        ExactnessError: the shapes differ.
    """
    shapes = [[list(tensor.shape) for tensor in tensors] for tensors in (found, wanted)]
    if shapes[0] != shapes[1]:
        ours, original = (each[0] if len(each) == 1 else each for each in shapes)
        raise ExactnessError(f"{network} puts out {ours}, the original {original}; {remedy}.")
    return [torch.where(f == w, 0.0, f.double() - w.double()) for f, w in zip(found, wanted, strict=True)]


def largest(tensors: list[Tensor]) -> float:
    """The largest absolute entry; NaN if one is."""
    found = [tensor.double().abs().max().cpu() for tensor in tensors if tensor.numel()]
    return float(torch.stack(found).max()) if found else 0.0


def doubled(arguments: Arguments) -> Arguments:
    """A model's arguments in float64."""

    def double(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    found: Arguments = pytree.tree_map(double, arguments)
    return found
