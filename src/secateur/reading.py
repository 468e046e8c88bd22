"""Units where they are read: their values there, and what silencing them means for each operator."""

from collections import defaultdict
from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from secateur.graph import Operator, Traced, operator_of
from secateur.sites import Read, Sites
from secateur.task import Arguments

Place = tuple[int, tuple[int, ...], tuple[int, ...], bool]


def values_read(value: Tensor, read: Read, units: int) -> Tensor:
    """A tensor that is read, as [rows, units]; several entries of one unit count as several rows."""
    if len(read.axes) == 1 and value.shape[read.axes[0]] == read.sizes[0]:
        if read.axes[0] not in (-1, value.dim() - 1):
            value = value.movedim(read.axes[0], -1)
    else:
        value = _unfolded(value, read).flatten(-len(read.sizes))
    if not read.is_in_order or len(read.entries) != value.shape[-1]:
        value = value.index_select(-1, torch.tensor(read.entries, device=value.device))
    if read.repeat > 1:
        value = value.unflatten(-1, (units, read.repeat)).transpose(-1, -2)
    return value if value.dim() == 2 else value.reshape(-1, units)


def silenced(traced: Traced, sites: Sites, removed: Mapping[str, tuple[int, ...]], arguments: Arguments) -> Any:
    """The original's output when removed units are silenced: zero where they are summed up, absent where normalised."""
    gone = _gone(sites, removed)

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        for (operand, axes, sizes, is_norm), entries in gone.get(node.name, {}).items():
            if is_norm:
                return _over_rest(node, args, axes[0], entries)
            value = args[operand].masked_fill(_mask(args[operand], axes, sizes, entries), 0.0)
            args = (*args[:operand], value, *args[operand + 1 :])
        return operator(*args)

    return traced.run(arguments, around)


def entries_of(read: Read, units: tuple[int, ...]) -> list[int]:
    """The entries that some units have at a place where they are read."""
    return [entry for unit in units for entry in read.entries[unit * read.repeat : (unit + 1) * read.repeat]]


def _gone(sites: Sites, removed: Mapping[str, tuple[int, ...]]) -> dict[str, dict[Place, list[int]]]:
    """For every reading node: operand, axes, sizes and kind, and the entries to silence there."""
    gone: dict[str, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, units in removed.items():
        for read in sites[name].reads:
            gone[read.node][(read.operand, read.axes, read.sizes, read.is_norm)] += entries_of(read, units)
    return gone


def _unfolded(value: Tensor, read: Read) -> Tensor:
    """A tensor with its read axes last, copies of the pattern along an axis moved to the rows."""
    for axis, size in sorted(zip(read.axes, read.sizes, strict=True), reverse=True):
        value = value.unflatten(axis, (value.shape[axis] // size, size))
    last = [axis + number + 1 for number, axis in enumerate(sorted(read.axes))]
    return value.movedim(last, list(range(-len(last), 0)))


def _mask(value: Tensor, axes: tuple[int, ...], sizes: tuple[int, ...], entries: list[int]) -> Tensor:
    mask = torch.zeros(prod(sizes), dtype=torch.bool)
    mask[entries] = True
    mask = mask.reshape(sizes).repeat([value.shape[axis] // size for axis, size in zip(axes, sizes, strict=True)])
    shape = [1] * value.dim()
    for axis, size in zip(axes, mask.shape, strict=True):
        shape[axis] = size
    return mask.reshape(shape).to(value.device)


def _over_rest(node: Node, args: tuple[Any, ...], axis: int, entries: list[int]) -> Tensor:
    """An operator that takes statistics over units, over those that stay; the others come out as they may."""
    stays = torch.ones(args[0].shape[axis], dtype=torch.bool, device=args[0].device)
    stays[entries] = False
    match operator_of(node):
        case "mean":
            shape = [1] * args[0].dim()
            shape[axis] = -1
            kept = (args[0] * stays.reshape(shape)).sum(axis, keepdim=len(args) > 2 and bool(args[2]))
            return kept / int(stays.sum())
        case "group_norm":
            return _group_norm(args, stays)
        case "rms_norm":
            x, weight, eps = args[0], _given(args, 2, None), _given(args, 3, None)
            eps = torch.finfo(x.dtype).eps if eps is None else eps
            kept = x[..., stays] if bool(stays.any()) else x
            scaled = x * (kept.square().mean(-1, keepdim=True) + eps).rsqrt()
            return scaled if weight is None else scaled * weight
    return _layer_norm(args, stays)


def _layer_norm(args: tuple[Any, ...], stays: Tensor) -> Tensor:
    x, _, weight, bias = (*args[:4], None)[:4]
    eps = _given(args, 4, 1e-5)
    kept = x[..., stays] if bool(stays.any()) else x
    mean = kept.mean(-1, keepdim=True)
    variance = (kept - mean).square().mean(-1, keepdim=True)
    scaled = (x - mean) / (variance + eps).sqrt() * weight
    return scaled if bias is None else scaled + bias


def _group_norm(args: tuple[Any, ...], stays: Tensor) -> Tensor:
    """Mean and variance of each group over its channels that stay and all places."""
    x, groups = args[0], args[1]
    weight, bias, eps = _given(args, 2, None), _given(args, 3, None), _given(args, 4, 1e-5)
    grouped = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    counted = stays.reshape(1, groups, -1, 1).to(x.dtype)
    count = counted.sum(2, keepdim=True) * grouped.shape[-1]
    mean = (grouped * counted).sum((2, 3), keepdim=True) / count
    variance = ((grouped - mean).square() * counted).sum((2, 3), keepdim=True) / count
    scaled = ((grouped - mean) / (variance + eps).sqrt()).reshape(x.shape)
    shape = (1, -1, *[1] * (x.dim() - 2))
    scaled = scaled if weight is None else scaled * weight.reshape(shape)
    return scaled if bias is None else scaled + bias.reshape(shape)


def _given(args: tuple[Any, ...], place: int, default: Any) -> Any:
    return args[place] if place < len(args) else default
