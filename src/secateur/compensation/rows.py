"""Rows of a least-squares problem at one layer: what it reads and should put out at some places of one batch."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from secateur import padding
from secateur.compensation.layers import Layer
from secateur.compensation.proposals import Seen
from secateur.compensation.windows import places_like
from secateur.stats import Gram

Rows = Float[Tensor, "rows _"]
Places = tuple[
    Int64[Tensor, " rows"], tuple[Int64[Tensor, " rows"], ...]
]  # of each row: example, place along each axis


def at(layer: Layer, value: Tensor, where: Places) -> Rows:
    """A tensor's channels at some places."""
    examples, places = where
    if layer.window:
        return value[(examples, slice(None), *places)]  # type: ignore[index]
    return value[examples, *places]


def read_at(layer: Layer, x: Tensor, where: Places) -> Float[Tensor, "groups rows columns"]:
    """What a layer reads of its input to put out something at some places."""
    examples, places = where
    return layer.window.patches(x, examples, places) if layer.window else at(layer, x, where)[None]


def alone(
    layer: Layer, x: Tensor, where: Places, shown: Bool[Tensor, "..."] | None, *, before: int, total: int
) -> Float[Tensor, "groups rows columns"]:
    """A layer's input channels at single places: of a convolution, one place of the input drawn for each row."""
    if not layer.window:
        return at(layer, x, where)[None]
    shape = [size for axis, size in enumerate(x.shape) if axis != layer.axis]
    rows = at(layer, x, (where[0], places_like(where[0], shape, shown, before=before, total=total)))
    return rows.reshape(len(rows), layer.groups, -1).movedim(1, 0)


def shown_in(layer: Layer, value: Tensor, tokens: Bool[Tensor, "examples tokens"] | None) -> Bool[Tensor, "..."] | None:
    """Which places of what a layer reads or puts out are no padding, examples first; None: all, as far as known."""
    shown = padding.seen(tokens, value.shape, (layer.axis,))
    return None if shown is None else shown.squeeze(layer.axis)


def seen_in(parts: tuple[Rows, Rows, Rows], judging: Bool[Tensor, " rows"], *, how: str, dtype: torch.dtype) -> Seen:
    """The sums over rows of inputs, wanted outputs and the original's inputs, as far as `how` needs them.

    Products are added up in `dtype` within the batch, in float64 over batches.
    """
    inputs, wanted, whole = parts
    fit, judge = (~judging).nonzero().flatten(), judging.nonzero().flatten()
    fitted = (inputs, wanted) if how == "reconstruct" else (inputs[:, :0], wanted[:, :0])
    others = whole[:, :0] if how == "reconstruct" else whole
    return Seen(
        fitted=Gram.of(fitted[0][fit], fitted[1][fit], dtype),
        unseen=Gram.of(inputs[judge], wanted[judge], dtype),
        original=Gram.of(others[fit], others[fit, :0], dtype),
    )
