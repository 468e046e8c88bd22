"""What is exact: two linear operations after each other as one, or beside each other as one, or a refusal."""

from dataclasses import replace
from itertools import product
from math import ceil, gcd, prod
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.errors import FoldError
from secateur.folding.maps import Map, without_groups


def composed(first: Map, second: Map) -> Map:
    """The one map that gives what `second` makes of what `first` gives, at every position.

    Where `second` pads what a `first` of kernel 1 with a bias gives, that bias becomes the weight of a channel of ones.

    Raises:
        FoldError: no one convolution does that, or their channels do not fit.
    """
    _check_channels(first, second)
    ring = _ring(first, second)
    if ring:
        raise FoldError(
            f"{second.name}: pads by {_shown(second.padding)} what {first.name} makes with a kernel of "
            f"{_shown(first.kernel)}; in a border of {_shown(ring)} no one convolution computes the same. Move the "
            "padding to the first of them (move_padding) before recovery, then the merge is exact."
        )
    if any(second.padding) and _has_bias(first):
        return joined(_on_ones(first, second), second)
    return joined(first, second)


def joined(first: Map, second: Map) -> Map:
    """The one map that equals `second` after `first` wherever `second` reads no padding."""
    stride, steps = _both(first, second)
    joint = replace(
        first,
        name=f"{first.name} + {second.name}",
        weight=_joined_weight(first, second, steps),
        bias=_joined_bias(first, second),
        stride=stride,
        padding=tuple(p + s * q for p, s, q in zip(first.padding, first.stride, second.padding, strict=True)),
        dilation=steps,
    )
    return replace(joint, groups=_joint_groups(first, second))


def at_axes(given: Map, axes: int) -> Map:
    """A map of kernel 1 for data with so many axes besides rows and channels, or with none."""
    whole = given if given.is_scale or axes else without_groups(given)
    once, none = (1,) * axes, (0,) * axes
    weight = whole.weight.reshape(*whole.weight.shape[:2], *once)
    return replace(whole, weight=weight, stride=once, padding=none, dilation=once)


def summed(left: Map, right: Map) -> Map:
    """The one map that gives the sum of both.

    Raises:
        FoldError: they put out different channels or positions.
    """
    if (left.made, left.read - left.ones, left.stride) != (right.made, right.read - right.ones, right.stride):
        found = f"{left.name} maps {_outline(left)}, {right.name} {_outline(right)}"
        raise FoldError(f"{found}; only maps of equal channels and stride add up to one.")
    if _margins(left) != _margins(right):
        found = f"{left.name} ({_window(left)}) and {right.name} ({_window(right)})"
        raise FoldError(f"{found} put out different sizes; only maps of equal sizes add up to one.")
    left, right = _alike(left, right)
    padding = tuple(map(max, left.padding, right.padding))
    steps = tuple(_step(sizes) for sizes in zip(_taps(left), _taps(right), _shifts(left, right), strict=True))
    weights = [_widened(given, padding, steps) for given in (left, right)]
    biases = [given.bias for given in (left, right) if given.bias is not None]
    return replace(
        left,
        name=f"{left.name} + {right.name}",
        weight=weights[0] + weights[1],
        bias=sum(biases[1:], biases[0]) if biases else None,
        padding=padding,
        dilation=steps,
    )


def _check_channels(first: Map, second: Map) -> None:
    if first.made != second.read or len(first.kernel) != len(second.kernel):
        made = f"{first.made} channels over {len(first.kernel)} axes"
        read = f"{second.read} over {len(second.kernel)}"
        raise FoldError(f"{second.name}: {first.name} makes {made}, but it reads {read}; merge neighbours only.")


def _ring(first: Map, second: Map) -> tuple[int, ...]:
    """How wide the border is in which no one convolution equals both, along every axis; nothing where there is none."""
    widths = tuple(
        ceil(p / s) if k > 1 else 0 for p, s, k in zip(second.padding, second.stride, first.kernel, strict=True)
    )
    return widths if any(widths) else ()


def _has_bias(given: Map) -> bool:
    return given.bias is not None and bool(given.bias.any())


def _on_ones(first: Map, second: Map) -> Map:
    """The first map with its bias as the weight of a channel of ones, which ends where the data end."""
    if gcd(first.groups, second.groups) > 1 or first.ones or any(first.padding) or prod(first.kernel) > 1:
        raise FoldError(
            f"{second.name}: pads by {_shown(second.padding)} what {first.name} has given a bias, in "
            f"{gcd(first.groups, second.groups)} groups; only one group of kernel 1 can read the bias from a channel "
            "of ones. Move the padding to the first of them (move_padding) before recovery, then the merge is exact."
        )
    whole = without_groups(first)
    column = whole.bias.reshape(-1, 1, *whole.kernel)  # type: ignore[union-attr]  # only a bias brings us here
    return replace(whole, weight=torch.cat([whole.weight, column], 1), bias=None, ones=True)


def _both(first: Map, second: Map) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Stride and dilation of both maps together."""
    stride = tuple(s * t for s, t in zip(first.stride, second.stride, strict=True))
    apart = [d * s for d, s in zip(second.dilation, first.stride, strict=True)]
    taps = zip(first.kernel, first.dilation, second.kernel, apart, strict=True)
    return stride, tuple(gcd(d * (k > 1), e * (n > 1)) or 1 for k, d, n, e in taps)


def _joint_groups(first: Map, second: Map) -> int:
    if second.is_scale:
        return first.groups
    return second.groups if first.is_scale else gcd(first.groups, second.groups)


def _joined_weight(first: Map, second: Map, steps: tuple[int, ...]) -> Float64[Tensor, "made read ..."]:
    """The full correlation of both kernels, the second's taps apart by the first's stride."""
    if second.is_scale:
        return first.weight * second.weight.reshape(-1, *(1,) * (first.weight.dim() - 1))
    if first.is_scale:
        factors = first.weight.reshape(second.groups, 1, -1, *(1,) * len(second.kernel))
        return (second.weight.unflatten(0, (second.groups, -1)) * factors).flatten(0, 1)
    groups = gcd(first.groups, second.groups)
    inner, outer = (without_groups(given, groups).weight.unflatten(0, (groups, -1)) for given in (first, second))
    apart = [d * s // step for d, s, step in zip(second.dilation, first.stride, steps, strict=True)]
    wide = [d // step * (k - 1) + 1 for d, k, step in zip(first.dilation, first.kernel, steps, strict=True)]
    size = [w + a * (k - 1) for w, a, k in zip(wide, apart, second.kernel, strict=True)]
    weight = inner.new_zeros(groups, outer.shape[1], inner.shape[2], *size)
    for tap in product(*(range(k) for k in second.kernel)):
        under = tuple(
            slice(a * t, a * t + w, max(d // step, 1))
            for a, t, w, d, step in zip(apart, tap, wide, first.dilation, steps, strict=True)
        )
        weight[(..., *under)] += torch.einsum("gom,gmi...->goi...", outer[(..., *tap)], inner)
    return weight.flatten(0, 1)


def _joined_bias(first: Map, second: Map) -> Float64[Tensor, " made"] | None:
    """What both biases add up to where the second reads no padding."""
    if first.bias is None:
        return second.bias
    weight = second.weight.flatten(2).sum(2) if second.kernel else second.weight
    arriving = first.bias.reshape(second.groups, 1, -1)
    carried = (weight.unflatten(0, (second.groups, -1)) * arriving).sum(2).flatten()
    return carried if second.bias is None else carried + second.bias


def _alike(left: Map, right: Map) -> tuple[Map, Map]:
    """Both maps with the same groups, and a channel of ones in both if one has it."""
    groups = gcd(left.groups, right.groups)
    if left.ones != right.ones:
        groups = 1
    left, right = without_groups(left, groups), without_groups(right, groups)
    if left.ones == right.ones:
        return left, right
    return _reading_ones(left), _reading_ones(right)


def _reading_ones(given: Map) -> Map:
    if given.ones:
        return given
    return replace(given, weight=torch.cat([given.weight, torch.zeros_like(given.weight[:, :1])], 1), ones=True)


def _taps(given: Map) -> tuple[int, ...]:
    """How far apart the taps of the kernel are; 0 where there is one."""
    return tuple(d * (k > 1) for d, k in zip(given.dilation, given.kernel, strict=True))


def _shifts(left: Map, right: Map) -> tuple[int, ...]:
    return tuple(abs(p - q) for p, q in zip(left.padding, right.padding, strict=True))


def _step(sizes: tuple[int, ...]) -> int:
    return gcd(*sizes) or 1


def _margins(given: Map) -> list[int]:
    """What is added to the size of the input, before strides."""
    return [2 * p - r for p, r in zip(given.padding, given.reach, strict=True)]


def _widened(given: Map, padding: tuple[int, ...], steps: tuple[int, ...]) -> Float64[Tensor, "made read ..."]:
    """The kernel in the middle of a larger one, for more padding and other steps."""
    begins = [(wider - own) // step for wider, own, step in zip(padding, given.padding, steps, strict=True)]
    spans = [(reach - 1) // step + 1 for reach, step in zip(given.reach, steps, strict=True)]
    jumps = [max(apart // step, 1) for apart, step in zip(_taps(given), steps, strict=True)]
    sizes = [span + 2 * begin for span, begin in zip(spans, begins, strict=True)]
    under: list[Any] = [slice(b, b + span, jump) for b, span, jump in zip(begins, spans, jumps, strict=True)]
    weight = given.weight.new_zeros(*given.weight.shape[:2], *sizes)
    weight[(..., *under)] = given.weight
    return weight


def _outline(given: Map) -> str:
    return f"{given.read - given.ones} channels to {given.made} with stride {_shown(given.stride)}"


def _window(given: Map) -> str:
    return f"kernel {_shown(given.kernel)}, padding {_shown(given.padding)}"


def _shown(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes) or "1"
