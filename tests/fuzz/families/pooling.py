"""Pooling, padding, rolling, resizing: what happens to places, channel by channel."""

from collections.abc import Callable
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.shapes import Block, Shape, in_planes, on_images, on_tokens, with_room

MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE_MAX = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
ADAPTIVE_AVERAGE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
MODES = {1: ("nearest", "linear"), 2: ("nearest", "bilinear", "bicubic", "area"), 3: ("nearest", "trilinear")}


class Upsampled(nn.Module):
    """Twice the size, by interpolation."""

    def __init__(self, mode: str, *, to_size: bool):
        super().__init__()
        self.mode = mode
        self.to_size = to_size

    def forward(self, x: Tensor) -> Tensor:
        if self.to_size:
            return F.interpolate(x, size=tuple(2 * side for side in x.shape[2:]), mode=self.mode)
        return F.interpolate(x, scale_factor=2, mode=self.mode)


class Padded(nn.Module):
    """A border around the places."""

    def __init__(self, dims: int, mode: str, value: float):
        super().__init__()
        self.dims = dims
        self.mode = mode
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        border = (1, 0) + (0, 1) * (self.dims - 1)
        if self.mode == "constant":
            return F.pad(x, border, value=self.value)
        return F.pad(x, border, mode=self.mode)


class Shifted(nn.Module):
    """Places moved around, or turned over."""

    def __init__(self, how: str, axis: int):
        super().__init__()
        self.how = how
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "roll":
                return torch.roll(x, shifts=1, dims=self.axis)
            case "flip":
                return x.flip(self.axis)
            case "crop":
                return x.narrow(self.axis, 1, x.shape[self.axis] - 1)
        return x.cumsum(self.axis)


class MixedPool(nn.Module):
    """Largest and average entries side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], 1)


def _pool(shape: Shape, rng: Random) -> nn.Module:
    dims = shape.dims
    makers: list[Callable[[], nn.Module]] = [
        lambda: MAX[dims](2),
        lambda: MAX[dims](3, 2, 1),
        lambda: AVERAGE[dims](2),
        lambda: AVERAGE[dims](3, 1, 1, count_include_pad=False),
        lambda: AVERAGE[dims](3, 2, 1, ceil_mode=True),
        lambda: ADAPTIVE_AVERAGE[dims](4),
        lambda: ADAPTIVE_MAX[dims](3),
    ]
    return rng.choice(makers)()


def _upsampled(shape: Shape, rng: Random) -> nn.Module:
    return Upsampled(rng.choice(MODES[shape.dims]), to_size=rng.random() < 0.5)


def _padded(shape: Shape, rng: Random) -> nn.Module:
    return Padded(shape.dims, rng.choice(("constant", "constant", "replicate")), rng.choice((0.0, 0.5)))


def _shifted(shape: Shape, rng: Random) -> nn.Module:
    axis = rng.choice([*range(2, 2 + shape.dims), -1]) if shape.layout == "image" else 1
    return Shifted(rng.choice(("roll", "flip", "crop", "cumsum")), axis)


def _mixed(_: Shape, __: Random) -> nn.Module:
    return MixedPool()


def _is_small(shape: Shape) -> bool:
    return shape.places[0] <= {1: 12, 2: 6, 3: 3}[shape.dims]


def _can_mix(shape: Shape) -> bool:
    return in_planes(shape) and with_room(shape) and shape.units <= 16


BLOCKS: dict[str, Block] = {
    "pool": on_images(_pool, fits=with_room),
    "mixed_pool": on_images(_mixed, fits=_can_mix),
    "upsampled": on_images(_upsampled, fits=_is_small),
    "padded": on_images(_padded),
    "shifted": on_images(_shifted),
    "token_shifted": on_tokens(_shifted, fits=lambda shape: shape.places[0] > 4),
}
