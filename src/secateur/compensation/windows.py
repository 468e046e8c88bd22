"""What a layer sees at single places: rows of its input, and of what it puts out there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.fx import Node

from secateur.graph import operator_of

_ROWS = 61_440  # rows at most: 60 places in each of 1,024 images
_PER_COLUMN = 8  # rows at least for each unknown, as far as `_ROWS` allows
_WORK = 2e11  # multiply-adds for the sums of one layer, as far as `_PER_COLUMN` allows


@dataclass(frozen=True)
class Window:
    """How a convolution moves over its input, one number for each of its axes; `padding` is before and after."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def pads(self) -> bool:
        """Whether zeros are put around the input."""
        return any(max(sides) > 0 for sides in self.padding)

    def patches(self, x: Tensor, examples: Tensor, places: tuple[Tensor, ...]) -> Tensor:
        """The input [batch, in, …] under the window at some places, as [groups, rows, in of a group × kernel].

        `places` are the window's positions along each axis, one for every row, as `examples` are.
        """
        sides = [side for pair in reversed(self.padding) for side in pair]
        x = F.pad(x, sides) if self.pads else x
        sizes = [(size - d * (k - 1) - 1) // s + 1 for size, k, s, d in self._along(x.shape[2:])]
        steps = x.stride()[2:]
        view = x.as_strided(
            (*x.shape[:2], *sizes, *self.kernel),
            (
                *x.stride()[:2],
                *(step * s for step, s in zip(steps, self.stride, strict=True)),
                *(step * d for step, d in zip(steps, self.dilation, strict=True)),
            ),
            x.storage_offset(),
        )
        rows = view[(examples, slice(None), *places)]  # type: ignore[index]  # [rows, in, kernel]
        return rows.reshape(len(rows), self.groups, -1).movedim(1, 0)

    def _along(self, sizes: Sequence[int]) -> list[tuple[int, int, int, int]]:
        return list(zip(sizes, self.kernel, self.stride, self.dilation, strict=True))


def window_of(node: Node) -> Window | None:
    """The window of a convolution; None for a linear operator."""
    if operator_of(node) == "linear":
        return None
    kernel = tuple(int(size) for size in node.args[1].meta["val"].shape[2:])  # type: ignore[union-attr]
    axes = len(kernel)

    def given(place: int, default: int) -> Any:
        value = node.args[place] if len(node.args) > place else default
        return value if isinstance(value, str) else _each(value, axes)

    dilation, padding = given(5, 1), given(4, 0)
    match padding:
        case "valid":
            sides = [(0, 0)] * axes
        case "same":
            whole = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            sides = [(total // 2, total - total // 2) for total in whole]
        case _:
            sides = [(side, side) for side in padding]
    return Window(kernel, given(3, 1), tuple(sides), dilation, _each(node.args[6] if len(node.args) > 6 else 1, 1)[0])


def places_for(
    shape: Sequence[int], shown: Bool[Tensor, "..."] | None = None, *, before: int, total: int, columns: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Rows to look at in an output of a shape [batch, …]: for each, its example and its place along every axis.

    All places where they are few; otherwise some of every example; only those that are `shown` (no padding). `before`
    examples came in earlier batches, of `total` in all: what is drawn depends neither on how the data is batched nor on
    how it is padded. `columns` are the unknowns of the problem.
    """
    rows = min(_ROWS, max(_PER_COLUMN * columns, int(_WORK / max(columns, 1) ** 2)))
    each = min(max(rows // max(total, 1), 1), math.prod(shape[1:]))
    found = _found(shape, shown)
    every = torch.arange(each).expand(len(found), each)
    ranks = torch.where(found[:, None] > each, drawn(found, each, before=before, total=total), every)
    return _places(shape, shown, ranks, found.clamp(max=each))


def places_like(
    examples: Int64[Tensor, " rows"],
    shape: Sequence[int],
    shown: Bool[Tensor, "..."] | None,
    *,
    before: int,
    total: int,
) -> tuple[Tensor, ...]:
    """For every row, one place drawn in an input of a shape [batch, …], of the row's example, along every axis."""
    counts = torch.bincount(examples, minlength=shape[0])
    ranks = drawn(_found(shape, shown), int(counts.max()), before=before, total=total)
    return _places(shape, shown, ranks, counts)[1]


def drawn(below: Int64[Tensor, " examples"], each: int, *, before: int, total: int) -> Int64[Tensor, "examples each"]:
    """Some random numbers below one of each example: always the same for the same example of `total`."""
    generator = torch.Generator().manual_seed(each)
    shares = torch.rand(total, each, generator=generator, dtype=torch.float64)[before : before + len(below)]
    return (shares * below[:, None]).long()


def _found(shape: Sequence[int], shown: Bool[Tensor, "..."] | None) -> Int64[Tensor, " examples"]:
    """How many places of every example there are to look at."""
    return torch.full((shape[0],), math.prod(shape[1:])) if shown is None else shown.reshape(shape[0], -1).sum(1).cpu()


def _places(
    shape: Sequence[int], shown: Bool[Tensor, "..."] | None, ranks: Int64[Tensor, "examples each"], counts: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """So many of each example's ranks as rows: the example, and the place of that rank among those that are shown."""
    if shown is not None:
        ranks = (~shown.reshape(shape[0], -1)).cpu().sort(dim=1, stable=True).indices.gather(1, ranks)
    flat = ranks[torch.arange(ranks.shape[1]) < counts[:, None]]
    places = torch.unravel_index(flat, tuple(shape[1:])) if len(shape) > 1 else ()
    return torch.arange(shape[0]).repeat_interleave(counts), places


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """A setting for every axis, where one for all may be given."""
    several = tuple(value) if isinstance(value, list | tuple) else (value,)
    return tuple(int(one) for one in several) * (axes if len(several) == 1 else 1)
