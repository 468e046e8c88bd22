"""Batch-norms that follow a layer directly: in eval mode a scale and a shift of every channel."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.graph import Traced, operator_of

_SMALLEST = 1e-6  # of the largest scale: what a norm shrinks further cannot be steered through it


@dataclass(frozen=True)
class Norm:
    """A batch-norm with running statistics, by the names of its tensors."""

    mean: str
    variance: str
    weight: str | None
    eps: float

    def scale(self, model: nn.Module) -> Tensor:
        """What the norm multiplies every channel by, in float64."""
        scale = (width.tensor_of(model, self.variance).detach().double() + self.eps).rsqrt()
        return scale if self.weight is None else scale * width.tensor_of(model, self.weight).detach().double()


def norm_after(traced: Traced, node: Node) -> Norm | None:
    """The batch-norm over the channels that a layer makes, where nothing else sees the layer's output."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    if user is None or operator_of(user) != "batch_norm" or user.args[0] is not node:
        return None
    value = node.meta.get("val")
    if operator_of(node) == "linear" and (not isinstance(value, Tensor) or value.dim() != 2):
        return None
    mean, variance = (_name(traced, user.args[place]) for place in (3, 4))
    weight = _name(traced, user.args[1])
    if mean is None or variance is None or (weight is None and user.args[1] is not None) or bool(user.args[5]):
        return None
    return Norm(mean, variance, weight, float(user.args[7]))  # type: ignore[arg-type]


def steerable(scale: Tensor) -> tuple[Tensor, Tensor]:
    """The scale with what is too small to divide by set to the smallest that is not, and where it was large enough."""
    least = _SMALLEST * float(scale.abs().max()) if len(scale) else 0.0
    least = least or 1.0
    large = scale.abs() >= least
    return torch.where(large, scale, torch.full_like(scale, least)), large


def _name(traced: Traced, argument: object) -> str | None:
    return traced.tensors.get(argument.name) if isinstance(argument, Node) else None
