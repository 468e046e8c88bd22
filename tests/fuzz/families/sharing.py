"""Modules and tensors that are used more than once, and ways from images to tokens and back."""

from math import isqrt, prod
from random import Random

import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families.activations import activation
from fuzz.families.convolutions import keeping, width
from fuzz.families.norms import image_norm
from fuzz.shapes import Block, Shape, is_square, on_images, on_tokens


class Twice(nn.Module):
    """One layer called twice."""

    def __init__(self, layer: nn.Module, act: nn.Module):
        super().__init__()
        self.layer = layer
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.act(self.layer(x)))


class OneNormForBoth(nn.Module):
    """Two branches that go through the same norm and meet in a sum."""

    def __init__(self, shape: Shape, rng: Random):
        super().__init__()
        units = width(rng)
        self.left = keeping(shape, units, rng)
        self.right = keeping(shape, units, rng)
        self.norm = image_norm(units, shape.dims, rng)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.left(x))) + self.norm(self.right(x))


class TiedBack(nn.Module):
    """Up with a matrix, back with the same one."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(nn.Linear(dim, hidden).weight).detach())
        self.bias = nn.Parameter(nn.Linear(dim, hidden).bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return x + F.linear(F.gelu(F.linear(x, self.weight, self.bias)), self.weight.t())


class TiedLayers(nn.Module):
    """Two layers that hold the same parameter."""

    def __init__(self, dim: int):
        super().__init__()
        self.first = nn.Linear(dim, dim)
        self.second = nn.Linear(dim, dim)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x)))


class Patches(nn.Module):
    """Places of an image as tokens."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "flatten":
            return x.flatten(2).transpose(1, 2)
        b, c = x.shape[:2]
        return x.view(b, c, -1).permute(0, 2, 1).contiguous()


class Unpatched(nn.Module):
    """Tokens in a square as an image again."""

    def __init__(self, side: int, dim: int):
        super().__init__()
        self.height = self.width = side
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], self.dim, self.height, self.width)


class BetweenTokens(nn.Module):
    """An image block around a token block: into tokens, and back to the same places."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.pwconv1 = nn.Linear(dim, 2 * dim)
        self.pwconv2 = nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, c, *places = x.shape
        y = x.reshape(b, c, -1).permute(0, 2, 1)
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(y))))
        return x + y.permute(0, 2, 1).reshape(b, c, *places)


def _twice(shape: Shape, rng: Random) -> nn.Module:
    if shape.layout == "tokens":
        return Twice(nn.Linear(shape.units, shape.units), activation(rng))
    return Twice(keeping(shape, shape.units, rng), activation(rng))


def _one_norm(shape: Shape, rng: Random) -> nn.Module:
    return OneNormForBoth(shape, rng)


def _tied(shape: Shape, rng: Random) -> nn.Module:
    return TiedBack(shape.units, rng.choice((6, 10))) if rng.random() < 0.5 else TiedLayers(shape.units)


def _patches(_: Shape, rng: Random) -> nn.Module:
    return Patches(rng.choice(("flatten", "view")))


def _unpatched(shape: Shape, _: Random) -> nn.Module:
    return Unpatched(isqrt(shape.places[0]), shape.units)


def _between(shape: Shape, _: Random) -> nn.Module:
    return BetweenTokens(shape.units)


def _has_few(shape: Shape) -> bool:
    return prod(shape.places) <= 64


BLOCKS: dict[str, Block] = {
    "twice": on_images(_twice),
    "token_twice": on_tokens(_twice),
    "one_norm": on_images(_one_norm),
    "tied": on_tokens(_tied),
    "patches": on_images(_patches, gives="tokens", fits=_has_few),
    "unpatched": on_tokens(_unpatched, gives="image", fits=is_square),
    "between_tokens": on_images(_between),
}
