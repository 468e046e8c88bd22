"""Averaged weights (EMA, SWA) that go on after a cut."""

from typing import TypeVar, cast

from torch import nn

from secateur import width
from secateur.errors import ModelError
from secateur.plan import Plan
from secateur.replay import check_complete, replay_

Average = TypeVar("Average", bound=nn.Module)


def remap_average(average: Average, plan: Plan) -> Average:
    """A copy of a network's running average, cut as the network is; how many steps it averaged is kept.

    For wrappers that hold the averaged network as `module`: torch's `AveragedModel`, timm's `ModelEmaV2` and `V3`. An
    average that is a plain network of the model's class is cut by `apply` itself.

    Raises:
        ModelError: the average holds no `module`.
        PlanError: the plan does not fit the averaged network.
    """
    copied = width.copied(average)
    inner = dict(copied.named_children()).get("module")
    if inner is None:
        found = ", ".join(name for name, _ in copied.named_children()) or "no modules"
        remedy = "give the wrapper that averages; a plain copy of the network is cut by apply(copy, plan)."
        raise ModelError(f"{type(average).__name__}: it holds {found}, but not the averaged `module`; {remedy}")
    check_complete(plan)
    replay_(inner, plan)
    return cast("Average", copied)
