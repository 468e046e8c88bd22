"""Labels on tensor entries: entries with joined labels are of one unit and can only go together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Value:
    """A tensor in the graph: its shape, and fields of labels.

    A field has as many axes as the tensor; along the axes where its size is 1 the unit does not change. No two fields
    of a value vary along the same axis. An axis without a field cannot be cut, unless it is `loose`: one entry expanded
    to whatever size its neighbours have.
    """

    shape: tuple[int, ...]
    fields: tuple[Labels, ...] = ()
    loose: frozenset[int] = frozenset()

    def along(self, axis: int) -> Labels | None:
        """The field that varies along an axis, if one does."""
        axis %= max(len(self.shape), 1)
        return next((field for field in self.fields if axis in varying(field)), None)


def varying(field: Labels) -> tuple[int, ...]:
    """The axes along which a field's unit changes."""
    return tuple(axis for axis, size in enumerate(field.shape) if size > 1)


def collapsed(field: Labels) -> Labels:
    """A field without the variation along axes on which nothing changes (a batch that heads were laid out along)."""
    for axis, size in enumerate(field.shape):
        if size > 1 and bool((field == (first := field.take([0], axis))).all()):
            field = first
    return field


def vector(field: Labels | None, axis: int) -> Labels | None:
    """The labels along one axis, where they vary along no other."""
    if field is None or varying(field) != (axis % field.ndim,):
        return None
    return field.reshape(-1)


@dataclass(frozen=True)
class Reading:
    """A place where the units along some axes of an operand are summed up (`product`) or normalised over (`norm`).

    `labels` are a field of the operand. `weight` names the parameter they are summed up against, where it is used
    unchanged as [out, in]; of a norm, its scale.
    """

    node: str
    operand: int
    labels: Labels
    kind: str = "product"
    weight_labels: Labels | None = None
    weight: str | None = None


@dataclass(frozen=True)
class Pin:
    """Labels that must stay, the operator that holds them, and why."""

    labels: Labels
    operator: str
    reason: str


@dataclass(frozen=True)
class Work:
    """A product that no parameter stands for: multiply-adds that shrink with the labels along each of its axes."""

    node: str
    lanes: tuple[Labels, ...]
    macs: int


@dataclass(frozen=True)
class Tally:
    """A number on a module that says how many of these labels there are, such as the groups of a convolution."""

    node: str
    name: str
    labels: Labels


@dataclass(frozen=True)
class Firm:
    """An axis of a field that keeps its length: units that are whole slices of it stay."""

    field: Labels
    axis: int
    operator: str


class Coupling:
    """The labels of one graph and what has been learnt about them; filled by the rules, read by `groups`.

    Every row of a `grid` must lose equally many entries, if any. `inferred` are fields of values of which some size
    follows from the others, as it cannot where nothing is left. `whole_heads` asks for heads of attention as units.
    """

    def __init__(self, *, whole_heads: bool = False) -> None:
        self.whole_heads = whole_heads
        self.made: list[Labels] = []
        self.readings: list[Reading] = []
        self.pins: list[Pin] = []
        self.firms: list[Firm] = []
        self.grids: list[Labels] = []
        self.inferred: list[Labels] = []
        self.works: list[Work] = []
        self.tallies: list[Tally] = []
        self._edges: list[tuple[Labels, Labels]] = []
        self._count = 0

    def tensor(self, shape: tuple[int, ...]) -> Value:
        """A parameter or buffer: every axis longer than one can be cut."""
        axes = [axis for axis, size in enumerate(shape) if size > 1]
        return Value(shape, tuple(self.fresh(shape, axis) for axis in axes))

    def fresh(self, shape: tuple[int, ...], axis: int) -> Labels:
        """New labels along one axis of a shape."""
        size = shape[axis]
        labels = np.arange(self._count, self._count + size, dtype=np.int64)
        self._count += size
        return labels.reshape([size if a == axis % len(shape) else 1 for a in range(len(shape))])

    def join(self, left: Labels, right: Labels) -> None:
        """Make the units of two broadcastable fields the same, entry by entry."""
        one, other = np.broadcast_arrays(left, right)
        self._edges.append((one.ravel(), other.ravel()))

    def pin(self, labels: Labels | None, operator: str, reason: str) -> None:
        """Hold units where they are."""
        if labels is not None:
            self.pins.append(Pin(labels.ravel(), operator, reason))

    def pin_all(self, values: Iterable[Value], operator: str, reason: str) -> None:
        """Hold every unit of some values."""
        for value in values:
            for field in value.fields:
                self.pin(field, operator, reason)

    def meet(self, values: Sequence[Value], shape: tuple[int, ...], operator: str) -> Value:
        """The value where broadcast values meet entry by entry; units that meet something uncuttable stay."""
        met: list[Labels] = []
        for value in values:
            for field in value.fields:
                met = self._merged(met, field.reshape((1,) * (len(shape) - field.ndim) + field.shape))
        for value in values:
            extra = len(shape) - len(value.shape)
            cuttable = {axis + extra for field in value.fields for axis in varying(field)}
            cuttable |= {axis + extra for axis in value.loose}
            firm = {axis + extra for axis, size in enumerate(value.shape) if size > 1} - cuttable
            met = [field for field in met if not self._is_held(field, firm, operator)]
        return Value(shape, tuple(met), _loose(values, shape))

    def _is_held(self, field: Labels, firm: set[int], operator: str) -> bool:
        """Whether a field's only axis keeps its length: it cannot be cut, so there is no field any more."""
        for axis in firm & set(varying(field)):
            self.hold(field, axis, operator)
        return len(varying(field)) == 1 and varying(field)[0] in firm

    def hold(self, field: Labels, axis: int, operator: str) -> None:
        """Keep an axis of a field at its length: what would shorten it stays."""
        if len(varying(field)) == 1:
            self.pin(field, operator, "they meet values that cannot be cut")
        else:
            self.firms.append(Firm(field, axis, operator))

    def _merged(self, met: list[Labels], field: Labels) -> list[Labels]:
        """Fields that vary along no common axis, after one more is joined with those that it meets."""
        apart = []
        for other in met:
            if not set(varying(other)) & set(varying(field)):
                apart.append(other)
                continue
            self.join(other, field)
            shape = np.broadcast_shapes(other.shape, field.shape)
            field = other if other.shape == shape else np.broadcast_to(field, shape)
        return [*apart, field]

    def roots(self) -> Labels:
        """For every label, the smallest label of its unit."""
        return connected(np.arange(self._count, dtype=np.int64), self._edges)


def connected(root: Labels, edges: Sequence[tuple[Labels, Labels]]) -> Labels:
    """Roots after some labels have been joined: connected components by minimum and pointer jumping."""
    if not edges:
        return root
    left, right = (root[np.concatenate([edge[side] for edge in edges])] for side in (0, 1))
    root = root.copy()
    while True:
        low = np.minimum(root[left], root[right])
        before = root.copy()
        for ends in (left, right):
            np.minimum.at(root, root[ends], low)
            np.minimum.at(root, ends, low)
        root = root[root]
        if np.array_equal(root, before):
            return root


def _loose(values: Sequence[Value], shape: tuple[int, ...]) -> frozenset[int]:
    """The axes along which every value is one entry expanded, or a single entry."""

    def is_loose(value: Value, axis: int) -> bool:
        own = axis - len(shape) + len(value.shape)
        return own < 0 or own in value.loose or value.shape[own] == 1

    loose = [axis for axis, size in enumerate(shape) if size > 1 and all(is_loose(value, axis) for value in values)]
    return frozenset(loose)
