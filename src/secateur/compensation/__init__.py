"""After a cut, before any training: guarded least squares that lets the kept units take over the removed ones' work."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from secateur import width
from secateur.compensation.batches import UNSEEN, argument_batches, rows_at, rows_in
from secateur.compensation.layers import Layer, layers_of
from secateur.compensation.walk import mend_
from secateur.counting import count
from secateur.errors import UnknownNameError
from secateur.graph import Traced, shape_of
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.plan import Edit, Plan
from secateur.result import Fold
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import sites_for, trace

How = Literal["none", "mean", "least_squares", "reconstruct"]
HOWS = ("none", "mean", "least_squares", "reconstruct")
ROWS = 8192  # enough for layers of a thousand inputs, and a bound on time whatever the data's length
IMAGES = 1024  # of which many places are looked at
_MEMORY = 3 * 2**30  # bytes of activations, since all examples go through the network in step


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
    rows = rows or _enough(traced)
    by_weight = mend_(mended, traced, layers, task, how, rows)
    folds = [by_weight[layer.weight] for layer in layers]
    before, after = (_departure(net, traced, task, rows) for net in (small, mended))
    if any(late > early for early, late in zip(before, after, strict=True)):
        found = f"distance {before[0]:.3g} to {after[0]:.3g}, disagreement {before[1]:.3g} to {after[1]:.3g}"
        reason = f"together the folds took the output further from the original's ({found})"
        folds = [replace(fold, used="none", error_after=fold.error_before, reason=reason) for fold in folds]
        mended = width.copied(small)
    return Repaired(mended, _credited(plan, sites_for(traced, plan), layers, folds, mended, small), tuple(folds))


def _enough(traced: Traced) -> int:
    """How many calibration examples are enough, and fit into memory."""
    shapes = [shape_of(node) or () for node in traced.nodes if node.op == "call_function"]
    most = IMAGES if any(len(shape) > 2 for shape in shapes) else ROWS
    return max(min(most, _MEMORY // max(2 * count(traced).peak_activation_bytes, 1)), 32)


def _departure(net: nn.Module, traced: Traced, task: Task, rows: int) -> tuple[float, float]:
    """A network's distance from and disagreement with the original, on every fifth calibration row, without padding."""
    distance, disagreement, seen, before = 0.0, 0.0, 0, 0
    texts = texts_of(traced)
    with evaluating(net) as predict, evaluating(traced.model) as original:
        for arguments in argument_batches(task, rows):
            unseen = rows_at(arguments, slice((UNSEEN - 1 - before) % UNSEEN, None, UNSEEN))
            before += rows_in(arguments)
            count = rows_in(unseen)
            if count:
                wanted = original(unseen)
                found = texts.hidden(predict(unseen), wanted, unseen)
                distance += count * float(task.distance(found, wanted, 1.0))
                disagreement += count * float(task.disagreement(found, wanted))
                seen += count
    return distance / max(seen, 1), disagreement / max(seen, 1)


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
