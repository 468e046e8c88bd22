"""After a cut, before any training: guarded least squares that lets the kept units take over the removed ones' work."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from secateur import width
from secateur.compensation.departure import enough, worse
from secateur.compensation.layers import Layer, layers_of
from secateur.compensation.walk import mend_
from secateur.errors import UnknownNameError
from secateur.plan import Edit, Plan
from secateur.result import Fold
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import sites_for, trace

How = Literal["none", "mean", "least_squares", "reconstruct"]
HOWS = ("none", "mean", "least_squares", "reconstruct")


@dataclass(frozen=True)
class Repaired:
    """A cut network after compensation, the plan that now says what took over, and every layer's fold."""

    model: nn.Module
    plan: Plan
    folds: tuple[Fold, ...]


def compensate(
    small: nn.Module, model: nn.Module, plan: Plan, task: Task, *, how: How = "reconstruct", rows: int | None = None
) -> nn.Module:
    """The cut network, its layers mended by calibration data without labels or training; see `repair`."""
    return repair(small, model, plan, task, how=how, rows=rows).model


def repair(
    small: nn.Module, model: nn.Module, plan: Plan, task: Task, *, how: How = "reconstruct", rows: int | None = None
) -> Repaired:
    """A copy of the cut network whose layers make up for the removed units, with a record of every layer.

    `mean` folds the removed units' mean output into the next bias (ODF2NNA), `least_squares` their regression on the
    kept ones into the next weights, `reconstruct` solves each layer anew so that it puts out what the original's did.
    Each fold is kept only where it lowers the error of what is read, on calibration rows not used to fit it; all of
    them only where together they bring the network's output nearer to the original's. `rows` examples of the
    calibration data are used at most: by default 8,192, or 1,024 where an example has many places (pixels, tokens),
    fewer where activations would take over 3 GB.
    """
    if how not in HOWS:
        raise UnknownNameError("compensation", how, HOWS)
    mended = width.copied(small)
    if how == "none" or not plan.removed:
        return Repaired(mended, plan, ())
    traced = trace(model, task)
    layers = layers_of(traced, plan, downstream=how == "reconstruct")
    rows = rows or enough(traced)
    by_weight = mend_(mended, traced, layers, task, how, rows)
    folds = [by_weight[layer.weight] for layer in layers]
    reason = worse(small, mended, traced, task, rows)
    if reason:
        folds = [replace(fold, used="none", error_after=fold.error_before, reason=reason) for fold in folds]
        mended = width.copied(small)
    return Repaired(mended, _credited(plan, sites_for(traced, plan), layers, folds, mended, small), tuple(folds))


def _credited(
    plan: Plan, sites: Sites, layers: tuple[Layer, ...], folds: list[Fold], mended: nn.Module, small: nn.Module
) -> Plan:
    """The plan with what took over each site's work, and the layers that gained a bias."""
    before, after = width.tensors_of(small), width.tensors_of(mended)
    biased = tuple(layer.name for layer in layers if layer.bias in after and layer.bias not in before)
    used = {layer.weight: fold for layer, fold in zip(layers, folds, strict=True)}

    def credited(edit: Edit) -> Edit:
        readers = [used[axis.tensor] for axis in sites[edit.site].read_by if axis.tensor in used]
        takers = [f"{fold.layer} ({fold.used})" for fold in readers if fold.used != "none"]
        return replace(edit, taken_over_by=", ".join(takers) or edit.taken_over_by)

    return replace(plan, edits=tuple(credited(edit) for edit in plan.edits), biased=(*plan.biased, *biased))
