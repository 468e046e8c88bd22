"""Optimizers that go on after a cut."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from secateur.continuity.heirs import Heir, heirs_of
from secateur.continuity.states import NEW_ONE, inherited
from secateur.errors import OptimizerError
from secateur.plan import Plan
from secateur.task import tensors_in

_MADE_ANEW = ("state", "param_groups", "defaults", "step")  # schedules hang a `step` of their own on the optimizer
_PARAMETERS = ("params", "param_names")


def remap_optimizer(optimizer: Optimizer, model: nn.Module, small: nn.Module, plan: Plan) -> Optimizer:
    """A new optimizer over the small network that goes on where the given one is; nothing given is touched.

    It is of the same class, with the same parameter groups and options; what it remembers of each parameter is cut as
    the parameter was. Parameters of emptied modules leave their group; a bias that a layer gained enters the group of
    the layer's weight, with nothing remembered. `small` is `apply(model, plan)`, compensated or not. The means that
    Adafactor keeps of rows and columns become those of its estimates for the weights that stay. Of Accelerate's
    wrapper, what it wraps: prepare the new one again.

    Raises:
        PlanError: the small network is not what the plan makes of the model.
        OptimizerError: the optimizer trains parameters that are not the model's, or holds what cannot be followed.
    """
    own = unwrapped(optimizer)
    if isinstance(own, LBFGS):
        raise OptimizerError(
            f"LBFGS: it remembers all parameters in one vector, across which nothing is cut; {NEW_ONE}"
        )
    heirs = heirs_of(model, small, plan)
    groups = [_members(own, number, heirs, type(model).__name__) for number in range(len(own.param_groups))]
    states = inherited(own, heirs)
    remapped = _made_anew(own, groups)
    _carry_attributes_(remapped, own)
    remapped.state.update(states)
    return remapped


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimizer itself, out of Accelerate's wrapper."""
    return unwrapped(optimizer.optimizer) if isinstance(optimizer, AcceleratedOptimizer) else optimizer


def _members(optimizer: Optimizer, number: int, heirs: Mapping[Tensor, Heir], owner: str) -> dict[str, Any]:
    """A parameter group's parameters in the small network, with names where the group has them."""
    group = optimizer.param_groups[number]
    names = group.get("param_names", [None] * len(group["params"]))
    members: list[tuple[str, nn.Parameter]] = []
    for place, (parameter, name) in enumerate(zip(group["params"], names, strict=True)):
        heir = heirs.get(parameter)
        if heir is None:
            which = f"parameter {name or place} of shape {tuple(parameter.shape)}"
            found = f"{type(optimizer).__name__}: {which} in group {number} is not a parameter of {owner}"
            raise OptimizerError(
                f"{found}; give the model that it trains, and other parameters an optimizer of their own."
            )
        own = name or heir.name
        if heir.parameter is not None:
            members.append((own, heir.parameter))
        members += [(f"{own.rpartition('.')[0]}.bias".lstrip("."), bias) for bias in heir.gained]
    after: dict[str, Any] = {"params": [parameter for _, parameter in members]}
    return after | ({"param_names": [name for name, _ in members]} if "param_names" in group else {})


def _made_anew(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Optimizer:
    """A new optimizer of the same class and options over other parameters."""
    for number, group in enumerate(optimizer.param_groups):
        large = [key for key in group if key not in _PARAMETERS and any(t.numel() != 1 for t in tensors_in(group[key]))]
        if large:
            found = f"{type(optimizer).__name__}: option {large[0]!r} of group {number} holds a tensor of many numbers"
            raise OptimizerError(f"{found}, of which it is not known what to cut; {NEW_ONE}")
    options = [{k: v for k, v in group.items() if k not in _PARAMETERS} for group in optimizer.param_groups]
    options, defaults = copy.deepcopy((options, optimizer.defaults))  # together: a rate that groups share stays shared
    parameters = [{**own, "params": group["params"]} for own, group in zip(options, groups, strict=True)]
    remapped = _constructed(type(optimizer), parameters, defaults)
    remapped.defaults.update(defaults)
    for ours, group in zip(remapped.param_groups, groups, strict=True):
        ours.update(group)
    return remapped


def _constructed(kind: type[Optimizer], groups: list[dict[str, Any]], defaults: Mapping[str, Any]) -> Optimizer:
    """A new optimizer by its constructor, given those of its defaults that the constructor takes."""
    arguments = list(inspect.signature(kind).parameters.values())[1:]
    named = [a for a in arguments if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    missing = [a.name for a in named if a.default is a.empty and a.name not in defaults]
    if missing:
        found = f"its constructor needs {', '.join(missing)}, which it does not keep among its defaults"
        raise OptimizerError(f"{kind.__name__}: it cannot be made anew, since {found}; {NEW_ONE}")
    takes_all = any(a.kind is a.VAR_KEYWORD for a in arguments)
    known = {a.name for a in named}
    try:
        return kind(groups, **{key: value for key, value in defaults.items() if takes_all or key in known})
    except (TypeError, ValueError) as error:
        raise OptimizerError(f"{kind.__name__}: it cannot be made anew: {error}; {NEW_ONE}") from error


def _carry_attributes_(remapped: Optimizer, optimizer: Optimizer) -> None:
    """Give an optimizer another's hooks and plain attributes, in place."""
    for name, value in vars(optimizer).items():
        if name in _MADE_ANEW:
            continue
        hooks = name.startswith("_optimizer_") and isinstance(value, OrderedDict)
        if not hooks and not _is_plain(value):
            found = f"its attribute {name!r} of type {type(value).__name__} may hold what the cut changes"
            raise OptimizerError(f"{type(optimizer).__name__}: {found}; {NEW_ONE}")
        setattr(remapped, name, copy.copy(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | torch.dtype | torch.device | None)
