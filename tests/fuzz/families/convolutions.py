"""Convolutions of all kinds, with a norm and an activation after them."""

from random import Random

from torch import Tensor, nn

from fuzz.families.activations import activation
from fuzz.families.norms import image_norm
from fuzz.shapes import Block, Shape, divisors, on_images, on_tokens, with_room

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class ConvBlock(nn.Module):
    """Convolution, norm, activation."""

    def __init__(self, conv: nn.Module, norm: nn.Module, act: nn.Module):
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Separable(nn.Module):
    """Depthwise, then pointwise."""

    def __init__(self, depthwise: nn.Module, pointwise: nn.Module, rng: Random):
        super().__init__()
        self.depthwise = depthwise
        self.act = activation(rng, on_fresh=True)
        self.pointwise = pointwise

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.act(self.depthwise(x)))


class TokenConv(nn.Module):
    """A convolution along the tokens."""

    def __init__(self, conv: nn.Module):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


def width(rng: Random) -> int:
    """How many channels a new layer has."""
    return rng.choice((4, 6, 8, 12, 16))


def keeping(shape: Shape, units: int, rng: Random, groups: int = 1) -> nn.Module:
    """A convolution after which there are as many places as before."""
    kernel = rng.choice((1, 3, 3, 5)) if min(shape.places) >= 5 else rng.choice((1, 3))
    mode = rng.choice(("zeros", "zeros", "zeros", "reflect", "circular", "replicate")) if kernel == 3 else "zeros"
    padding = "same" if rng.random() < 0.2 else kernel // 2
    bias = rng.random() < 0.6
    make = CONVOLUTIONS[shape.dims]
    return make(shape.units, units, kernel, padding=padding, groups=groups, bias=bias, padding_mode=mode)


def _any(shape: Shape, rng: Random) -> nn.Module:
    units = width(rng)
    kernel = rng.choice((1, 2, 3)) if with_room(shape) else 1
    stride = rng.choice((1, 1, 2)) if with_room(shape) else 1
    dilation = rng.choice((1, 2)) if kernel == 2 else 1
    padding = rng.choice((0, kernel // 2))
    conv = CONVOLUTIONS[shape.dims](
        shape.units, units, kernel, stride, padding, dilation=dilation, bias=rng.random() < 0.6
    )
    return _block(conv, units, shape.dims, rng)


def _kept(shape: Shape, rng: Random) -> nn.Module:
    units = width(rng)
    return _block(keeping(shape, units, rng), units, shape.dims, rng)


def _grouped(shape: Shape, rng: Random) -> nn.Module:
    groups = rng.choice(divisors(shape.units)[:-1] or [1])
    units = groups * rng.choice((1, 2, 3))
    return _block(keeping(shape, units, rng, groups), units, shape.dims, rng)


def _depthwise(shape: Shape, rng: Random) -> nn.Module:
    units = shape.units * (rng.choice((1, 1, 2, 3)) if shape.units <= 12 else 1)
    return _block(keeping(shape, units, rng, shape.units), units, shape.dims, rng)


def _separable(shape: Shape, rng: Random) -> nn.Module:
    times = rng.choice((1, 2)) if shape.units <= 16 else 1
    inner = Shape("image", shape.units * times, shape.places)
    depthwise = keeping(shape, inner.units, rng, shape.units)
    return Separable(depthwise, CONVOLUTIONS[shape.dims](inner.units, width(rng), 1, bias=rng.random() < 0.5), rng)


def _transposed(shape: Shape, rng: Random) -> nn.Module:
    stride = rng.choice((1, 2)) if shape.places[0] ** shape.dims * 2**shape.dims <= 300 else 1
    groups = rng.choice((1, 1, *divisors(shape.units)))
    units = groups * rng.choice((1, 2)) if groups > 1 else width(rng)
    conv = TRANSPOSED[shape.dims](
        shape.units, units, 3, stride, 1, output_padding=stride - 1, groups=groups, bias=rng.random() < 0.6
    )
    return _block(conv, units, shape.dims, rng)


def _token_conv(shape: Shape, rng: Random) -> nn.Module:
    if rng.random() < 0.5:
        return TokenConv(nn.Conv1d(shape.units, shape.units, 3, padding=1, groups=shape.units))
    return TokenConv(nn.Conv1d(shape.units, width(rng), rng.choice((1, 3)), padding="same"))


def _block(conv: nn.Module, units: int, dims: int, rng: Random) -> nn.Module:
    return ConvBlock(conv, image_norm(units, dims, rng), activation(rng, on_fresh=True))


BLOCKS: dict[str, Block] = {
    "conv": on_images(_any),
    "conv_kept": on_images(_kept),
    "conv_grouped": on_images(_grouped),
    "conv_depthwise": on_images(_depthwise),
    "conv_separable": on_images(_separable),
    "conv_transposed": on_images(_transposed),
    "token_conv": on_tokens(_token_conv),
}
