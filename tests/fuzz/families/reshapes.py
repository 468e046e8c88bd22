"""Channels in another order or at other places: shuffles, pixel (un)shuffle, maxout, tiling."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.shapes import Block, Shape, divisors, in_planes, on_images, on_tokens


class ChannelShuffle(nn.Module):
    """Channels of all groups dealt out in turn, as in ShuffleNet."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, *places = x.shape
        x = x.view(batch, self.groups, channels // self.groups, *places)
        return x.transpose(1, 2).reshape(batch, -1, *places)


class Maxout(nn.Module):
    """The largest of every few neighbouring channels."""

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.pieces)).amax(2)


class Reordered(nn.Module):
    """The channels in an order of their own."""

    def __init__(self, how: str, order: list[int]):
        super().__init__()
        self.how = how
        self.register_buffer("order", torch.tensor(order))

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "flip":
                return x.flip(1)
            case "roll":
                return torch.roll(x, 2, 1)
            case "select":
                return x.index_select(1, self.order)
        return x[:, self.order]


class Tiled(nn.Module):
    """Every channel twice."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "repeat":
            return x.repeat(1, 2, *(1,) * (x.dim() - 2))
        if self.how == "interleave":
            return x.repeat_interleave(2, dim=1)
        return torch.stack([x, 0.5 * x], dim=2).flatten(1, 2)


class TurnedTokens(nn.Module):
    """Channels flattened into heads and back: a detour that changes nothing."""

    def __init__(self, num_heads: int, dim: int):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        x = x.view(b, t, self.num_heads, self.head_dim).transpose(1, 2)
        return x.transpose(1, 2).contiguous().view(b, t, self.num_heads * self.head_dim)


class PixelShuffled(nn.Module):
    """Channels to places, or places to channels."""

    def __init__(self, factor: int, *, back: bool):
        super().__init__()
        self.shuffle = nn.PixelUnshuffle(factor) if back else nn.PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(x)


class SpaceToDepth(nn.Module):
    """Four shifted grids side by side, as in patch merging and YOLO's focus layer."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :, ::2, ::2], x[:, :, 1::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, 1::2]], 1)


class ZeroPaddedChannels(nn.Module):
    """Channels of zeros beside the others, as in ResNet's shortcut A."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 2, 1))


def _shuffled(shape: Shape, rng: Random) -> nn.Module:
    return ChannelShuffle(rng.choice(divisors(shape.units)[1:]))


def _maxout(shape: Shape, rng: Random) -> nn.Module:
    return Maxout(rng.choice(divisors(shape.units)[1:-1] or [1]))


def _reordered(shape: Shape, rng: Random) -> nn.Module:
    order = list(range(shape.units))
    rng.shuffle(order)
    return Reordered(rng.choice(("flip", "roll", "select", "index")), order)


def _tiled(_: Shape, rng: Random) -> nn.Module:
    return Tiled(rng.choice(("repeat", "interleave", "stack")))


def _turned(shape: Shape, rng: Random) -> nn.Module:
    return TurnedTokens(rng.choice(divisors(shape.units)), shape.units)


def _upwards(_: Shape, __: Random) -> nn.Module:
    return PixelShuffled(2, back=False)


def _downwards(_: Shape, rng: Random) -> nn.Module:
    return PixelShuffled(2, back=True) if rng.random() < 0.5 else SpaceToDepth()


def _zero_padded(_: Shape, __: Random) -> nn.Module:
    return ZeroPaddedChannels()


def _can_shuffle_up(shape: Shape) -> bool:
    return in_planes(shape) and shape.units % 4 == 0 and shape.units >= 8 and shape.places[0] * shape.places[1] <= 72


def _can_shuffle_down(shape: Shape) -> bool:
    return in_planes(shape) and all(side % 2 == 0 for side in shape.places) and shape.units <= 8


def _is_narrow(shape: Shape) -> bool:
    return shape.units <= 12


BLOCKS: dict[str, Block] = {
    "channel_shuffle": on_images(_shuffled, fits=lambda shape: shape.units > 1),
    "maxout": on_images(_maxout, fits=lambda shape: shape.units >= 6),
    "reordered": on_images(_reordered),
    "tiled": on_images(_tiled, fits=_is_narrow),
    "turned_tokens": on_tokens(_turned),
    "pixel_shuffle": on_images(_upwards, fits=_can_shuffle_up),
    "pixel_unshuffle": on_images(_downwards, fits=_can_shuffle_down),
    "zero_padded": on_images(_zero_padded, fits=in_planes),
}
