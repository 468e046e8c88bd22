"""Modules of a network exchanged in place, as a plan says."""

from collections.abc import Sequence

import torch
from torch import nn

from secateur.depth.parts import built
from secateur.depth.untying import untie_
from secateur.errors import PlanError
from secateur.plan import Swap, Untie


def change_(model: nn.Module, changes: Sequence[Untie | Swap]) -> None:
    """Make changes in place, one after the other: structure only, the weights of what comes in are zero.

    Raises:
        PlanError: a change names a module that the model lacks, or one that cannot be built.
        ModelError: a module that is to be untied cannot be followed.
    """
    for change in changes:
        match change:
            case Untie():
                untie_(model, change)
            case Swap():
                _swap_(model, change)


def _swap_(model: nn.Module, swap: Swap) -> None:
    owner, _, name = swap.module.rpartition(".")
    modules = dict(model.named_modules(remove_duplicate=False))
    if not swap.module or swap.module not in modules:
        raise PlanError(
            f"{swap.module or 'the whole model'}: the plan puts a {swap.by.kind} there, but "
            f"{type(model).__name__} has no such module; make the plan for this model."
        )
    old = modules[swap.module]
    device, dtype = _kind_of_numbers(model, swap.module)
    setattr(modules[owner], name, built(swap.by, device, dtype).train(old.training))


def _kind_of_numbers(model: nn.Module, place: str) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of the weights at a place, or of those nearest around it."""
    while True:
        for parameter in model.get_submodule(place).parameters():
            if parameter.is_floating_point():
                return parameter.device, parameter.dtype
        if not place:
            return torch.device("cpu"), torch.get_default_dtype()
        place = place.rpartition(".")[0]
