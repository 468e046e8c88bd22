"""Which sizes of an operator call can be any number, since cuts change them; its other sizes are taken as they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from secateur.timing.calls import Call, Shape

SCALAR = -1


@dataclass(frozen=True)
class Axis:
    """One size, and all places that hold it: an argument's number with an axis, or `SCALAR` for the argument itself."""

    size: int
    places: tuple[tuple[int, int], ...]


def axes_of(call: Call) -> tuple[Axis, ...]:
    """The sizes of a call that times in between are reckoned for: channels, features, rows of a weight."""
    rule = _RULES.get(call.target._schema.name.removeprefix("aten::").rstrip("_"))
    if rule is not None:
        return tuple(rule(call.args))
    if torch.Tag.pointwise in call.target.tags:
        return tuple(_pointwise(call.args))
    return ()


def resized(call: Call, axes: Sequence[Axis], sizes: Sequence[int]) -> Call:
    """The call with other sizes along some of its axes."""
    args = list(call.args)
    for axis, size in zip(axes, sizes, strict=True):
        for number, place in axis.places:
            args[number] = size if place == SCALAR else _with_size(args[number], place, size)
    return replace(call, args=tuple(args))


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    return replace(shape, sizes=(*shape.sizes[:axis], size, *shape.sizes[axis + 1 :]))


def _convolution(args: Sequence[Any]) -> Iterable[Axis]:
    """Inputs and outputs of a convolution, or its channels where each is convolved alone."""
    x, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    outputs, inputs = weight.sizes[:2]
    of_bias = ((2, 0),) if bias is not None else ()
    if groups == 1:
        first, second = (1, 0) if transposed else (0, 1)
        yield Axis(outputs if not transposed else inputs, ((1, first), *of_bias))
        yield Axis(x.sizes[1], ((0, 1), (1, second)))
    elif inputs == 1 and groups == outputs == x.sizes[1]:
        yield Axis(groups, ((0, 1), (1, 0), *of_bias, (8, SCALAR)))


def _addmm(args: Sequence[Any]) -> Iterable[Axis]:
    bias, left, right = args[:3]
    if bias.sizes == right.sizes[1:]:
        yield Axis(left.sizes[1], ((1, 1), (2, 0)))
        yield Axis(right.sizes[1], ((0, 0), (2, 1)))


def _mm(args: Sequence[Any]) -> Iterable[Axis]:
    left, right = args[:2]
    yield Axis(left.sizes[1], ((0, 1), (1, 0)))
    yield Axis(right.sizes[1], ((1, 1),))


def _channels(args: Sequence[Any]) -> Iterable[Axis]:
    """The channels of an image, and everything that there is one of for each."""
    image, *others = args
    if isinstance(image, Shape) and len(image.sizes) > 1:
        size = image.sizes[1]
        each = [number for number, one in enumerate(others, 1) if isinstance(one, Shape) and one.sizes == (size,)]
        yield Axis(size, ((0, 1), *((number, 0) for number in each)))


def _pointwise(args: Sequence[Any]) -> Iterable[Axis]:
    """The channels of images, otherwise the last axis, of all tensors that are not repeated along it."""
    shapes = [(number, one.sizes) for number, one in enumerate(args) if isinstance(one, Shape)]
    most = max((len(sizes) for _, sizes in shapes), default=0)
    behind = 3 if most == 4 else 1  # axes counted from the last, as tensors are repeated
    places = [(number, len(sizes) - behind) for number, sizes in shapes if len(sizes) >= behind]
    size = max((sizes[-behind] for _, sizes in shapes if len(sizes) >= behind), default=1)
    if most > 1 and size > 1:
        yield Axis(size, tuple(place for place in places if args[place[0]].sizes[place[1]] == size))


_RULES: Mapping[str, Callable[[Sequence[Any]], Iterable[Axis]]] = {
    "convolution": _convolution,
    "addmm": _addmm,
    "mm": _mm,
    "native_batch_norm": _channels,
    "_native_batch_norm_legit_no_training": _channels,
    "mean": _channels,
    "max_pool2d_with_indices": _channels,
    "avg_pool2d": _channels,
    "_adaptive_avg_pool2d": _channels,
}
