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
    of a value vary along the same axis. An axis without a field cannot be cut.
    """

    shape: tuple[int, ...]
    fields: tuple[Labels, ...] = ()

    def along(self, axis: int) -> Labels | None:
        """The field that varies along an axis, if one does."""
        axis %= max(len(self.shape), 1)
        return next((field for field in self.fields if axis in varying(field)), None)


def varying(field: Labels) -> tuple[int, ...]:
    """The axes along which a field's unit changes."""
    return tuple(axis for axis, size in enumerate(field.shape) if size > 1)


def vector(field: Labels | None, axis: int) -> Labels | None:
    """The labels along one axis, where they vary along no other."""
    if field is None or varying(field) != (axis % field.ndim,):
        return None
    return field.reshape(-1)


@dataclass(frozen=True)
class Reading:
    """A place where the units along an axis of an operand are summed up (`product`) or normalised over (`norm`).

    `weight` names the parameter they are summed up against, where it is used unchanged as [out, in]; of a norm, its
    scale.
    """

    node: str
    operand: int
    axis: int
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


class Coupling:
    """The labels of one graph and what has been learnt about them; filled by the rules, read by `groups`."""

    def __init__(self) -> None:
        self.made: list[Labels] = []
        self.readings: list[Reading] = []
        self.pins: list[Pin] = []
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
            firm = {axis + extra for axis, size in enumerate(value.shape) if size > 1} - cuttable
            for field in met:
                if firm & set(varying(field)):
                    self.pin(field, operator, "they meet values that cannot be cut")
        return Value(shape, tuple(met))

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
        """For every label, the smallest label of its unit: connected components by minimum and pointer jumping."""
        root = np.arange(self._count, dtype=np.int64)
        if not self._edges:
            return root
        left = np.concatenate([edge[0] for edge in self._edges])
        right = np.concatenate([edge[1] for edge in self._edges])
        while True:
            low = np.minimum(root[left], root[right])
            before = root.copy()
            for ends in (left, right):
                np.minimum.at(root, root[ends], low)
                np.minimum.at(root, ends, low)
            root = root[root]
            if np.array_equal(root, before):
                return root
