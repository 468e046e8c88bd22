"""Norms, for images and for tokens."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.shapes import Block, Shape, divisors, on_images, on_tokens

BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ChannelsLast(nn.Module):
    """Layer-norm over channels, with the axes turned for it."""

    def __init__(self, dim: int, norm: nn.Module):
        super().__init__()
        self.dim = dim
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class LayerNorm2d(nn.Module):
    """Layer-norm over channels with tensors of its own, as in ConvNeXt."""

    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps
        self.normalized_shape = (dim,)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ScaleOfEach(nn.Module):
    """One factor per channel, as layer scale has it."""

    def __init__(self, dim: int, axes_after: int):
        super().__init__()
        self.axes_after = axes_after
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma.view(-1, *(1,) * self.axes_after)


def image_norm(units: int, dims: int, rng: Random) -> nn.Module:
    """A norm for images with so many channels."""
    kinds = ["none", "batch", "batch", "batch", "batch", "plain batch", "instance", "group", "group", "last"]
    match rng.choice([*kinds, "own"] if dims == 2 else kinds):
        case "batch":
            return BATCH[dims](units)
        case "plain batch":
            return BATCH[dims](units, affine=False)
        case "instance":
            return INSTANCE[dims](units, affine=rng.random() < 0.5, track_running_stats=rng.random() < 0.3)
        case "group":
            return nn.GroupNorm(rng.choice(divisors(units)), units)
        case "last":
            return ChannelsLast(units, nn.LayerNorm(units))
        case "own":
            return LayerNorm2d(units)
    return nn.Identity()


def token_norm(units: int, rng: Random) -> nn.Module:
    """A norm for tokens with so many entries."""
    match rng.choice(["layer", "layer", "layer", "no bias", "plain", "rms"]):
        case "layer":
            return nn.LayerNorm(units, eps=rng.choice([1e-5, 1e-12]))
        case "no bias":
            return nn.LayerNorm(units, bias=False)
        case "plain":
            return nn.LayerNorm(units, elementwise_affine=False)
    return nn.RMSNorm(units)


def _on_image(shape: Shape, rng: Random) -> nn.Module:
    if rng.random() < 0.2:
        return ScaleOfEach(shape.units, shape.dims)
    return image_norm(shape.units, shape.dims, rng)


def _on_tokens(shape: Shape, rng: Random) -> nn.Module:
    return ScaleOfEach(shape.units, 0) if rng.random() < 0.2 else token_norm(shape.units, rng)


BLOCKS: dict[str, Block] = {"norm": on_images(_on_image), "token_norm": on_tokens(_on_tokens)}
