"""Layers that go: activations made linear, stretches collapsed into one operator or dropped, the rest solved anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur import width
from secateur.budget.layers import BECOMES, Become, Choice
from secateur.calibration import calibrate
from secateur.compensation.collapse import collapse, mend_behind
from secateur.compensation.departure import enough
from secateur.depth import change_, linear_at
from secateur.errors import PlanError, UnknownNameError
from secateur.plan import LayerEdit, Part, Plan, Swap
from secateur.result import Fold
from secateur.scores import Rectified
from secateur.sites import Sites, Stretch
from secateur.stats import Line
from secateur.task import Task
from secateur.tracing import trace

Lines = tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]


@dataclass(frozen=True)
class Replaced:
    """A network without some layers, before and after the layers behind them were solved anew; and what was done."""

    cut: nn.Module
    model: nn.Module
    plan: Plan
    folds: tuple[Fold, ...] = ()


def replace_layers(
    model: nn.Module,
    sites: Sites,
    choices: Sequence[Choice],
    task: Task,
    *,
    become: Become = "affine",
    solve: bool = True,
) -> Replaced:
    """A copy of a model without some layers; the given one is never touched.

    An activation becomes, unit by unit, the least-squares line through what it reads and gives (`affine`), nothing
    (`identity`), or nothing where the unit is mostly on and zero where it is mostly off (`on_off`). A stretch becomes
    one operator fitted to it (`collapse`), or nothing (`drop`). With `solve` the layers behind are solved anew, from
    calibration data without labels, so that they put out what they did in the original; each only where that is nearer
    on examples not used for it.

    Raises:
        ModelError: an activation's call cannot be told apart, or a stretch is too large to be fitted.
        PlanError: the sites are not the model's, or the choices were made for another form.
    """
    _check(choices, become)
    if not choices:
        same = width.copied(model)
        return Replaced(same, same, Plan(method="chosen"))
    traced = trace(model, task)
    rows = enough(traced)
    folds: tuple[Fold, ...] = ()
    match become:
        case "collapse":
            stretches = [choice.stretch for choice in choices if choice.stretch]
            small, edits, folds = collapse(model, stretches, task, rows=rows, others=solve)
        case "drop":
            small, edits = _dropped(model, choices)
        case _:
            small, edits = _made_linear(model, sites, choices, task, become)
    mended = small
    if solve and not folds:
        mended, folds = mend_behind(small, traced, _first(sites, choices), task, rows)
    return Replaced(small, mended, _plan(edits, choices), folds)


def _check(choices: Sequence[Choice], become: Become) -> None:
    if become not in BECOMES:
        raise UnknownNameError("form that a layer can become", become, BECOMES)
    for choice in choices:
        if (choice.stretch is not None) != (become in ("collapse", "drop")):
            what = "a stretch" if choice.stretch else "an activation"
            raise PlanError(f"{choice.name}: this is {what}, which cannot {become}; select_layers(become={become!r}).")


def _plan(edits: Sequence[LayerEdit], choices: Sequence[Choice]) -> Plan:
    """The edits, with why each was chosen."""
    by_name = {choice.name: choice for choice in choices}
    chosen = [(edit, by_name[edit.name]) for edit in edits]
    return Plan("chosen", layers=tuple(replace(edit, score=why.score, rank=why.rank) for edit, why in chosen))


def _first(sites: Sites, choices: Sequence[Choice]) -> str:
    """The node behind which layers read something else than before: where the first choice puts out its value."""
    gone = {name for choice in choices for name in choice.activations}
    return next(activation.node for activation in sites.activations if activation.name in gone)


def _made_linear(
    model: nn.Module, sites: Sites, choices: Sequence[Choice], task: Task, become: Become
) -> tuple[nn.Module, list[LayerEdit]]:
    """Activations made linear, all by what the given model shows."""
    chosen = {choice.name for choice in choices}
    some = replace(sites, activations=tuple(each for each in sites.activations if each.name in chosen))
    lines: dict[str, Line] = {}
    if become != "identity":
        lines = calibrate(model, some, task, Rectified(Line.empty))
    small = width.copied(model)
    edits = []
    for activation in some.activations:
        slope, shift = _line(activation.units, lines.get(activation.name), become)
        changes = linear_at(small, activation, slope, shift)
        edits.append(LayerEdit(activation.name, become, changes, error=_unexplained(lines.get(activation.name), slope)))
    return small, edits


def _line(units: int, seen: Line | None, become: Become) -> Lines:
    """What every unit's input is multiplied by, and what is added."""
    zeros = torch.zeros(units, dtype=torch.float64)
    if seen is None:
        return zeros + 1.0, zeros
    if become == "on_off":
        return (seen.mean_in > 0).double().cpu(), zeros
    return seen.slope.cpu(), seen.intercept.cpu()


def _unexplained(seen: Line | None, slope: Tensor) -> float:
    """The share of the variance of what came out that the lines leave."""
    if seen is None:
        return float("nan")
    left = seen.var_out.cpu() - 2.0 * slope * seen.cov.cpu() + slope.square() * seen.var_in.cpu()
    total = float(seen.var_out.sum())
    return float(left.clamp(min=0.0).sum()) / total if total else 0.0


def _dropped(model: nn.Module, choices: Sequence[Choice]) -> tuple[nn.Module, list[LayerEdit]]:
    """Stretches that become nothing: what a path around them carries is all that is left."""
    small = width.copied(model)
    edits = []
    for choice in choices:
        assert choice.stretch is not None  # only stretches can be dropped
        changes = path_around(choice.stretch)
        change_(small, changes)
        edits.append(LayerEdit(choice.name, "drop", changes))
    return small, edits


def path_around(stretch: Stretch) -> tuple[Swap, ...]:
    """The changes that leave a stretch's path around: a branch gives zeros, which a linear layer of zeros does."""
    nothing = Part("identity")
    if stretch.has_path:
        return (Swap(stretch.modules[0], Part(stretch.then) if stretch.then else nothing),)
    zeros = Part("affine", {"units": stretch.outputs, "axis": -1 - len(stretch.kernel)})
    others = (Swap(module, nothing) for module in stretch.modules[1:])
    return (Swap(stretch.modules[0], zeros), *others)
