"""An activation made linear: a line for every unit in its place."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from secateur.depth.affine import Affine
from secateur.depth.changing import change_
from secateur.depth.untying import changes_for
from secateur.errors import SettingsError
from secateur.plan import Part, Swap, Untie
from secateur.sites import Activation


def linear_at(
    model: nn.Module, activation: Activation, weight: Float[Tensor, " units"], bias: Float[Tensor, " units"]
) -> tuple[Untie | Swap, ...]:
    """Put a line for every unit, `weight · x + bias`, in the place of an activation, in place; gives the changes.

    Where all lines are the identity, that is what comes in.

    Raises:
        SettingsError: there is not one finite line for every unit.
        ModelError: the activation's call cannot be told apart from others.
        PlanError: the model has no such activation.
    """
    _check(activation, weight, bias)
    untied, path = changes_for(model, activation)
    is_identity = bool((weight == 1).all()) and not bias.any()
    line = Part("affine", {"units": activation.units, "axis": activation.axis})
    changes: tuple[Untie | Swap, ...] = (*untied, Swap(path, Part("identity") if is_identity else line))
    change_(model, changes)
    put = model.get_submodule(path)
    if isinstance(put, Affine):
        with torch.no_grad():
            put.weight.copy_(weight)
            put.bias.copy_(bias)
    return changes


def _check(activation: Activation, weight: Tensor, bias: Tensor) -> None:
    for name, numbers in (("weight", weight), ("bias", bias)):
        if len(numbers) != activation.units:
            found = f"{len(numbers)} numbers for {name}, but {activation.units} units"
            raise SettingsError(f"{activation.name}: {found}; give one for each.")
        if not numbers.isfinite().all():
            unit = int((~numbers.isfinite()).nonzero()[0])
            found = f"{name} of unit {unit} is {float(numbers[unit])}"
            raise SettingsError(f"{activation.name}: {found}; look for NaN in the data, or leave this one as it is.")
