"""Linear operations as data: what a convolution, a linear layer or a batch-norm computes, apart from any module."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Map:
    """A convolution with zeros around its input, over as many axes as its kernel has; of a linear layer, none.

    A scale, as of a batch-norm, is a map of kernel 1 with as many groups as channels. Everything is float64. `name`
    says which layers it stands for. A map with `ones` reads a channel of ones that is appended to its input.
    """

    name: str
    weight: Float64[Tensor, "made read ..."]
    bias: Float64[Tensor, " made"] | None = None
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    ones: bool = False

    @property
    def made(self) -> int:
        """The channels that it puts out."""
        return self.weight.shape[0]

    @property
    def read(self) -> int:
        """The channels that it takes in, one of ones included."""
        return self.weight.shape[1] * self.groups

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's size along every axis."""
        return tuple(self.weight.shape[2:])

    @property
    def reach(self) -> tuple[int, ...]:
        """How many entries of every axis lie under the kernel, those that dilation skips included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def is_pointwise(self) -> bool:
        """Whether it maps every position by itself, and leaves all positions where they are."""
        return all(size == 1 for size in (*self.kernel, *self.stride)) and not any(self.padding)

    @property
    def is_scale(self) -> bool:
        """Whether every channel is only scaled and shifted."""
        return self.is_pointwise and self.groups == self.made == self.read


def linear(name: str, weight: Float[Tensor, "made read"], bias: Float[Tensor, " made"] | None) -> Map:
    """What a linear layer computes."""
    return Map(name, weight.detach().double(), _double(bias))


def scale(name: str, weight: Float[Tensor, " units"], bias: Float[Tensor, " units"] | None, axes: int) -> Map:
    """A factor and a summand for every channel of data with so many axes besides rows and channels."""
    once, none = (1,) * axes, (0,) * axes
    factors = weight.detach().double().reshape(-1, 1, *once)
    return Map(name, factors, _double(bias), once, none, once, groups=len(weight))


def unchanged(name: str, channels: int, axes: int) -> Map:
    """The map that gives what it gets."""
    return scale(name, torch.ones(channels), None, axes)


def norm_scale(
    mean: Float[Tensor, " units"],
    variance: Float[Tensor, " units"],
    eps: float,
    weight: Float[Tensor, " units"] | None,
    bias: Float[Tensor, " units"] | None,
) -> tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]:
    """Factor and summand of a batch-norm in eval mode; a factor of 0 where its weight is."""
    factor = (variance.detach().double() + eps).rsqrt()
    factor = factor if weight is None else factor * weight.detach().double()
    shift = -mean.detach().double() * factor
    return factor, shift if bias is None else shift + bias.detach().double()


def without_groups(given: Map, groups: int = 1) -> Map:
    """The same map with fewer groups, a divisor of those it has: zeros between what the groups did not mix."""
    if groups == given.groups:
        return given
    apart = given.groups // groups  # old groups in each new one
    made, read = given.made // given.groups, given.weight.shape[1]
    weight = given.weight.new_zeros(groups, apart, made, apart, read, *given.kernel)
    for place in range(apart):
        weight[:, place, :, place] = given.weight.unflatten(0, (groups, apart, made))[:, place]
    return replace(given, weight=weight.flatten(3, 4).flatten(0, 2), groups=groups)


def _double(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.detach().double()
