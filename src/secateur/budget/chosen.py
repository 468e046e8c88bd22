"""Chosen layers as a plan, which says what goes and why; what each becomes is made from data, by `replace_layers`."""

from collections.abc import Sequence

from secateur.budget.layers import BECOMES, Become, Choice
from secateur.errors import PlanError, UnknownNameError
from secateur.plan import LayerEdit, Plan
from secateur.sites import Sites


def plan_of_layers(choices: Sequence[Choice], become: Become, method: str) -> Plan:
    """A plan that chooses some layers."""
    return Plan(
        method, layers=tuple(LayerEdit(each.name, become, (), score=each.score, rank=each.rank) for each in choices)
    )


def choices_of(plan: Plan, sites: Sites) -> tuple[Become, tuple[Choice, ...]]:
    """What the layers that a plan chooses become, and they themselves among a network's sites.

    Raises:
        PlanError: they become several things or an unknown one, or the plan does more than choose them.
        UnknownNameError: the network has no such layer.
    """
    actions = {edit.action for edit in plan.chosen}
    become = next((form for form in BECOMES if actions == {form}), None)
    if become is None or len(plan.chosen) != len(plan.layers) or plan.cuts or plan.steps:
        found = ", ".join(sorted(actions)) or "none"
        raise PlanError(f"the plan chooses no layers of one form (found: {found}); write it with `secateur plan`.")
    return become, tuple(_choice(edit, become, sites) for edit in plan.chosen)


def _choice(edit: LayerEdit, become: Become, sites: Sites) -> Choice:
    if become not in ("collapse", "drop"):
        sites.activation(edit.name)  # raises where there is none
        return Choice(edit.name, (edit.name,), edit.score, edit.rank)
    stretch = next((one for one in sites.stretches if one.name == edit.name), None)
    if stretch is None:
        raise UnknownNameError("stretch of layers", edit.name, [one.name for one in sites.stretches])
    return Choice(edit.name, stretch.activations, edit.score, edit.rank, stretch)
