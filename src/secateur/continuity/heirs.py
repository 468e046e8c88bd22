"""Which parameter of the cut network each parameter of the original became."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from secateur.depth import has_weights
from secateur.errors import PlanError
from secateur.plan import Cut, Plan, Swap

_REMEDY = "give the network that the plan was made for, and the one that apply(model, plan) made of it."


@dataclass(frozen=True)
class Heir:
    """What a parameter became: a shorter one or, with all that it belonged to, nothing; and biases its layer gained."""

    name: str
    parameter: nn.Parameter | None
    cuts: tuple[Cut, ...]
    gained: tuple[nn.Parameter, ...] = ()


def heirs_of(model: nn.Module, small: nn.Module, plan: Plan) -> Mapping[Tensor, Heir]:
    """The heir of every parameter of the model, a tied one once.

    Raises:
        PlanError: the small network is not what the plan makes of the model.
    """
    before, after = (dict(m.named_parameters(remove_duplicate=False)) for m in (model, small))
    names: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in before.items():
        names[parameter].append(name)
    _check_layers(plan, before)
    gained = _gained(before, after)
    return {
        parameter: Heir(
            name=own[0],
            parameter=_heir(parameter, own, after, plan),
            cuts=_cuts(own, plan),
            gained=tuple(gained[parameter]),
        )
        for parameter, own in names.items()
    }


def _check_layers(plan: Plan, before: Mapping[str, nn.Parameter]) -> None:
    """Refuse a plan that exchanges layers with weights: what came in has no past, and what went has no heir."""
    swaps = [change for layer in plan.layers for change in layer.changes if isinstance(change, Swap)]
    have = [s for s in swaps if has_weights(s.by) or any(name.startswith(f"{s.module}.") for name in before)]
    if have or plan.steps:
        place = have[0].module if have else plan.layers[0].name
        raise PlanError(
            f"{place}: the plan exchanges layers, and with them weights that no state of an optimizer fits; begin anew "
            "with an optimizer for the changed network."
        )


def _gained(before: Mapping[str, nn.Parameter], after: Mapping[str, nn.Parameter]) -> dict[Tensor, list[nn.Parameter]]:
    """The biases that only the small network has, by their layers' weights in the model."""
    gained: dict[Tensor, list[nn.Parameter]] = defaultdict(list)
    for name in [name for name in after if name not in before]:
        layer = name.removesuffix("bias")
        weight = next((p for known, p in before.items() if known.startswith(layer)), None)
        if layer == name or weight is None:
            raise PlanError(f"{name}: the small network has this parameter, the model no such layer; {_REMEDY}")
        gained[weight].append(after[name])
    return gained


def _cuts(names: list[str], plan: Plan) -> tuple[Cut, ...]:
    """What a parameter of these names loses, in the order of the plan."""
    return tuple(cut for cut in plan.cuts if cut.tensor in names and cut.removed)


def _heir(
    parameter: nn.Parameter, names: list[str], after: Mapping[str, nn.Parameter], plan: Plan
) -> nn.Parameter | None:
    """The parameter in the small network, or None if the plan empties its module."""
    heir = next((after[name] for name in names if name in after), None)
    if heir is None:
        if all(name.startswith(tuple(f"{module}." for module in plan.emptied)) for name in names):
            return None
        raise PlanError(f"{names[0]}: the small network lacks it, and the plan does not remove it; {_REMEDY}")
    expected = _shape_after(parameter, _cuts(names, plan))
    if tuple(heir.shape) != expected:
        found = f"shape {tuple(heir.shape)} in the small network, {expected} by the plan"
        raise PlanError(f"{names[0]}: {found}; {_REMEDY}")
    if (heir.device, heir.dtype) != (parameter.device, parameter.dtype):
        found = (
            f"{heir.dtype} on {heir.device} in the small network, {parameter.dtype} on {parameter.device} in the model"
        )
        raise PlanError(f"{names[0]}: {found}; remap first, then move or convert.")
    return heir


def _shape_after(parameter: nn.Parameter, cuts: tuple[Cut, ...]) -> tuple[int, ...]:
    """The shape of a parameter after its cuts."""
    shape = list(parameter.shape)
    for cut in cuts:
        found = shape[cut.axis] if 0 <= cut.axis < len(shape) else 0
        if found != cut.length:
            expected = f"the plan expects {cut.length} entries on axis {cut.axis}, the model has {found}"
            raise PlanError(f"{cut.tensor}: {expected}; {_REMEDY}")
        shape[cut.axis] -= len(set(cut.removed))
    return tuple(shape)
