"""Norms, means and sums that leave out what is gone.

What a norm's scale has lost says which entries are gone. Where there is no scale, the small network is the witness: the
entries that it counts at the same call are found again, by their values, among those of the original.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Stays = dict[int, Tensor]  # by the identity of a norm's scale: one where an entry stays, zero where it is gone
Witness = list[tuple[Any, Tensor]]  # what the small network counted, call by call


class MismatchError(AssertionError):
    """The small network is not what the plan and the original say."""


@contextmanager
def witnessed() -> Iterator[Witness]:
    """What is counted meanwhile, call by call."""
    mode = _Watching()
    with mode:
        yield mode.seen


@contextmanager
def without_the_gone(stays: Stays, witness: Witness) -> Iterator[None]:
    """Whatever is counted meanwhile is counted over what stays."""
    with _Counting(stays, iter(witness)):
        yield


class _Watching(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Witness = []

    def __torch_function__(self, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in _RULES:
            self.seen.append((func, _given(func, args, kwargs)["input"].detach()))
        return func(*args, **(kwargs or {}))


class _Counting(TorchFunctionMode):
    def __init__(self, stays: Stays, witness: Iterator[tuple[Any, Tensor]]):
        super().__init__()
        self.stays = stays
        self.witness = witness

    def __torch_function__(self, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func not in _RULES:
            return func(*args, **(kwargs or {}))
        given = _given(func, args, kwargs)
        seen, small = next(self.witness, (None, None))
        if seen is not func or small is None:
            raise MismatchError("the small network does not call what the original calls")
        if given["input"].shape == small.shape:
            return func(*args, **(kwargs or {}))
        mask = self.stays.get(id(given.get("weight")))
        if mask is None:
            given["axis"], mask = _found_again(given["input"], small)
        return _RULES[func][1](mask, given)


def _given(func: Any, args: tuple[Any, ...], kwargs: Any) -> dict[str, Any]:
    return dict(zip(_RULES[func][0], args, strict=False)) | (kwargs or {})


@torch.no_grad()
def _found_again(whole: Tensor, small: Tensor) -> tuple[int, Tensor]:
    """The axis along which a small network's values lack some of the original's, and which of those stay."""
    shorter = [axis for axis in range(whole.dim()) if whole.shape[axis] != small.shape[axis]]
    if len(shorter) != 1:
        raise MismatchError(f"counted: {tuple(small.shape)} of {tuple(whole.shape)} are shorter on several axes")
    axis = shorter[0]
    wanted = iter(small.movedim(axis, 0))
    mask = torch.zeros(whole.shape[axis], dtype=torch.float64)
    next_one = next(wanted, None)
    for place, entries in enumerate(whole.movedim(axis, 0)):
        if next_one is not None and torch.allclose(entries, next_one, rtol=1e-7, atol=1e-9):
            mask[place] = 1.0
            next_one = next(wanted, None)
    if next_one is not None:
        raise MismatchError("counted: the small network counts what the original does not have")
    return axis, mask


def _layer_norm(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Layer-norm over the entries that stay."""
    x, axes = given["input"], tuple(range(-mask.dim(), 0))
    count = mask.sum().clamp(min=1.0)
    mean = (x * mask).sum(axes, keepdim=True) / count
    variance = ((x - mean).square() * mask).sum(axes, keepdim=True) / count
    return _scaled((x - mean) / (variance + given.get("eps", 1e-5)).sqrt(), given)


def _rms_norm(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Root-mean-square norm over the entries that stay."""
    x, axes = given["input"], tuple(range(-mask.dim(), 0))
    eps = given.get("eps")
    square = (x.square() * mask).sum(axes, keepdim=True) / mask.sum().clamp(min=1.0)
    return _scaled(x / (square + (torch.finfo(x.dtype).eps if eps is None else eps)).sqrt(), given)


def _group_norm(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Group norm over the channels that stay of every group."""
    x, groups = given["input"], given["num_groups"]
    grouped = x.reshape(x.shape[0], groups, x.shape[1] // groups, -1)
    here = mask.reshape(1, groups, -1, 1)
    count = (here.sum((2, 3), keepdim=True) * grouped.shape[-1]).clamp(min=1.0)
    mean = (grouped * here).sum((2, 3), keepdim=True) / count
    variance = ((grouped - mean).square() * here).sum((2, 3), keepdim=True) / count
    normed = ((grouped - mean) / (variance + given.get("eps", 1e-5)).sqrt()).reshape(x.shape)
    shape = (-1,) + (1,) * (x.dim() - 2)
    per_channel = {key: given[key].reshape(shape) for key in ("weight", "bias") if given.get(key) is not None}
    return _scaled(normed, per_channel)


def _scaled(normed: Tensor, given: Mapping[str, Any]) -> Tensor:
    scaled = normed if given.get("weight") is None else normed * given["weight"]
    return scaled if given.get("bias") is None else scaled + given["bias"]


def _mean(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """The mean over the entries that stay."""
    x, axes = given["input"], _axes(given)
    if given["axis"] not in axes:
        return x.mean(axes, keepdim=given.get("keepdim", False))
    count = mask.sum() * prod(x.shape[axis] for axis in axes if axis != given["axis"])
    return _sum(mask, given) / count


def _sum(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """The sum over the entries that stay."""
    x, axes = given["input"], _axes(given)
    if given["axis"] not in axes:
        return x.sum(axes, keepdim=given.get("keepdim", False))
    shape = [-1 if axis == given["axis"] else 1 for axis in range(x.dim())]
    return (x * mask.reshape(shape)).sum(axes, keepdim=given.get("keepdim", False))


def _of_length_one(mask: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Vectors divided by their length over the entries that stay."""
    x, axis = given["input"], given.get("dim", 1) % given["input"].dim()
    settings = {key: given[key] for key in ("p", "eps") if key in given}
    if given["axis"] != axis:
        return F.normalize(x, dim=axis, **settings)
    here = mask.reshape([-1 if own == axis else 1 for own in range(x.dim())])
    length = torch.linalg.vector_norm(x * here, given.get("p", 2.0), axis, keepdim=True)
    return x / length.clamp(min=given.get("eps", 1e-12))


def _axes(given: Mapping[str, Any]) -> tuple[int, ...]:
    dim, ndim = given.get("dim"), given["input"].dim()
    dims = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    return tuple(axis % ndim for axis in dims)


_LAYER = (("input", "normalized_shape", "weight", "bias", "eps"), _layer_norm)
_RULES: dict[Any, tuple[tuple[str, ...], Callable[[Tensor, Mapping[str, Any]], Tensor]]] = {
    F.layer_norm: _LAYER,
    torch.layer_norm: _LAYER,
    F.rms_norm: (("input", "normalized_shape", "weight", "eps"), _rms_norm),
    F.normalize: (("input", "p", "dim", "eps"), _of_length_one),
    F.group_norm: (("input", "num_groups", "weight", "bias", "eps"), _group_norm),
    **dict.fromkeys((torch.mean, Tensor.mean), (("input", "dim", "keepdim"), _mean)),
    **dict.fromkeys((torch.sum, Tensor.sum), (("input", "dim", "keepdim"), _sum)),
}
