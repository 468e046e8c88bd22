"""A whole plan made true of a network in place: its steps, and in each the layers first, then the cuts."""

from torch import nn

from secateur import depth, width
from secateur.errors import PlanError
from secateur.plan import Plan, Swap


def replay_(model: nn.Module, plan: Plan) -> None:
    """Give a model the structure that a plan leaves, in place; works on any device, meta included.

    What stays keeps its values. Weights of modules that the plan brings in are zero: a plan does not hold them.

    Raises:
        PlanError: the plan names a module, a tensor or a length that the model does not have.
        ModelError: the plan tells calls apart in a module whose forward cannot be followed.
    """
    for step in plan.steps:
        replay_(model, step)
    if not plan.steps:
        for layer in plan.layers:
            depth.change_(model, layer.changes)
        width.cut_(model, plan)


def check_complete(plan: Plan) -> None:
    """Refuse a plan that brings in modules whose weights it does not hold, or says not yet what layers become.

    Raises:
        PlanError: it does, or brings in a module that cannot be built.
    """
    if plan.chosen:
        raise PlanError(
            f"{plan.chosen[0].name}: the plan only chooses {len(plan.chosen)} layers; what they become is made from "
            "data: use `secateur apply`, or replace_layers."
        )
    changes = [change for layer in plan.layers for change in layer.changes]  # with steps: those of all of them
    new = [change.module for change in changes if isinstance(change, Swap) and depth.has_weights(change.by)]
    if new:
        raise PlanError(
            f"{new[0]}: the plan brings in {len(new)} modules with weights, which no plan holds; load the network that "
            "was saved with it, or make the change anew."
        )
