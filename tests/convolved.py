"""What maps compute, by torch's own convolutions, and strategies for maps of any shape."""

from math import lcm

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from secateur.folding.maps import Map

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


def convolved(given: Map, x: Tensor) -> Tensor:
    """What a map gives, never merged with anything."""
    if given.ones:
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    if not given.kernel:
        return F.linear(x, given.weight, given.bias)
    convolution = CONVOLUTIONS[len(given.kernel) - 1]
    return convolution(x, given.weight, given.bias, given.stride, given.padding, given.dilation, given.groups)


@st.composite
def shapes(draw: st.DrawFn, axes: int) -> dict[str, tuple[int, ...]]:
    """Kernel, stride, padding and dilation along every axis; kernels of 1 often."""
    largest = 3 if axes < 3 else 2
    kernel = draw(st.one_of(st.just((1,) * axes), st.tuples(*[st.integers(1, largest)] * axes)))
    padding = draw(st.one_of(st.just((0,) * axes), st.tuples(*[st.integers(0, 2)] * axes)))
    two = st.tuples(*[st.integers(1, 2)] * axes)
    return {"kernel": kernel, "stride": draw(two), "padding": padding, "dilation": draw(two)}


@st.composite
def maps(draw: st.DrawFn, name: str, read: int, made: int, groups: int, axes: int) -> Map:
    """A map with random weights."""
    shape = draw(shapes(axes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    kernel = shape.pop("kernel")
    groups = groups if axes else 1
    weight = torch.randn(made, read // groups, *kernel, generator=generator).double()
    bias = torch.randn(made, generator=generator).double() if draw(st.booleans()) else None
    return Map(name, weight, bias, groups=groups, **shape)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Map, Map, Tensor]:
    """Two maps, one after the other, of any kernels, strides, paddings, dilations, groups, biases, and an input."""
    axes = draw(st.integers(0, 3))
    groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    read, between, made = (draw(st.integers(1, 2)) for _ in range(3))
    read, between, made = read * groups[0], between * lcm(*groups), made * groups[1]
    first = draw(maps("first", read, between, groups[0], axes))
    second = draw(maps("second", between, made, groups[1], axes))
    least = 13 if axes < 3 else 7  # so that the second has something to read
    size = [draw(st.integers(least, least + 1)) for _ in range(axes)]
    x = torch.randn(2, read, *size, generator=torch.Generator().manual_seed(draw(st.integers(0, 2**16))))
    return first, second, x.double()
