"""Activations: modules and functions, in place too, and gates made of halves."""

from collections.abc import Callable
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.shapes import Block, Shape, on_images, on_tokens

MODULES: tuple[Callable[[], nn.Module], ...] = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    lambda: nn.Dropout(0.2),
    lambda: nn.Threshold(0.1, 0.7),
)
IN_PLACE: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.ReLU(inplace=True),
    lambda: nn.ReLU6(inplace=True),
    lambda: nn.SiLU(inplace=True),
    lambda: nn.Hardswish(inplace=True),
    lambda: nn.LeakyReLU(0.1, inplace=True),
)
FUNCTIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    F.relu,
    F.gelu,
    F.silu,
    F.elu,
    F.softplus,
    torch.tanh,
    torch.sigmoid,
    torch.relu,
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: x * torch.sigmoid(1.702 * x),
    lambda x: x.clamp(-0.8, 0.9),
    lambda x: F.relu(x).square(),
    lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    lambda x: x * F.relu6(x + 3.0) / 6.0,
    lambda x: torch.where(x > 0, x, 0.1 * x),
    lambda x: torch.exp(-x.abs()),
)


class Functional(nn.Module):
    """An activation that is a function, kept as an attribute."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class GatedHalves(nn.Module):
    """One half of the channels gates the other."""

    def __init__(self, axis: int, how: str):
        super().__init__()
        self.axis = axis
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "glu":
            return F.glu(x, dim=self.axis)
        if self.how == "simple":
            one, other = x.chunk(2, dim=self.axis)
            return one * other
        half = x.shape[self.axis] // 2
        one, other = torch.split(x, half, dim=self.axis)
        return F.gelu(one) * other


class BothSigns(nn.Module):
    """The positive and the negative part side by side (CReLU)."""

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.cat([x, -x], self.axis))


def activation(rng: Random, *, on_fresh: bool = False) -> nn.Module:
    """An activation; in place only where nothing else needs what flows in (`on_fresh`)."""
    draw = rng.random()
    if on_fresh and draw < 0.3:
        return rng.choice(IN_PLACE)()
    return rng.choice(MODULES)() if draw < 0.7 else Functional(rng.choice(FUNCTIONS))


def _activation(_: Shape, rng: Random) -> nn.Module:
    return activation(rng)


def _prelu(shape: Shape, _: Random) -> nn.Module:
    return nn.PReLU(shape.units)


def _gated(shape: Shape, rng: Random) -> nn.Module:
    return GatedHalves(1 if shape.layout == "image" else -1, rng.choice(("glu", "simple", "geglu")))


def _both(shape: Shape, _: Random) -> nn.Module:
    return BothSigns(1 if shape.layout == "image" else -1)


def _is_even(shape: Shape) -> bool:
    return shape.units % 2 == 0 and shape.units >= 6


def _is_narrow(shape: Shape) -> bool:
    return shape.units <= 16


BLOCKS: dict[str, Block] = {
    "activation": on_images(_activation),
    "token_activation": on_tokens(_activation),
    "prelu": on_images(_prelu),
    "gated_halves": on_images(_gated, fits=_is_even),
    "token_gated_halves": on_tokens(_gated, fits=_is_even),
    "both_signs": on_images(_both, fits=_is_narrow),
}
