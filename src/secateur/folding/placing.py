"""What folding gives, and modules put in the place of others."""

from dataclasses import dataclass

from torch import nn

from secateur.composing import compose
from secateur.depth import part_of
from secateur.plan import LayerEdit, Plan, Swap


@dataclass(frozen=True)
class Folded:
    """A network with layers merged, what was done to it, and which linear neighbours stay apart: where, and why.

    `cuts` are the units that were cut before that, if any.
    """

    model: nn.Module
    edits: tuple[LayerEdit, ...]
    refused: tuple[tuple[str, str], ...]
    cuts: Plan = Plan(method="idle")

    @property
    def plan(self) -> Plan:
        """All that was done, as one plan."""
        return compose(self.cuts, Plan("fold", layers=self.edits))


def put_(model: nn.Module, name: str, module: nn.Module) -> Swap:
    """Put a module in the place of another, in place, and give the change."""
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, module)
    return Swap(name, part_of(module))


def like(module: nn.Module, place: nn.Module) -> nn.Module:
    """A module trained or not as the one whose place it takes."""
    learns = any(parameter.requires_grad for parameter in place.parameters())
    return module.requires_grad_(learns).train(place.training)
