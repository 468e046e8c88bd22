"""Rules of products with weights: linear layers, convolutions, embeddings."""

from math import prod
from typing import Any

import numpy as np

from secateur.coupling.call import Call, Result, unknown
from secateur.coupling.labels import Coupling, Labels, Reading, Tally, Value, Work, varying, vector


def linear(coupling: Coupling, call: Call) -> Result:
    """x [..., in] times weight [out, in], plus bias [out]."""
    x, weight, bias = call.args[0], call.args[1], call.arg(2, name="bias")
    if len(weight.shape) != 2:
        return unknown(coupling, call, "a weight that is no matrix")
    _contract(coupling, call, (0, len(x.shape) - 1), (1, 1))
    _count(coupling, call, weight, (0, 1))
    return _with_made(coupling, call, _without(x, -1), weight.along(0), bias)


def matrix_product(coupling: Coupling, call: Call, operand: int) -> Result:
    """The argument at a place times the matrix [in, out] after it."""
    x, weight = call.args[operand], call.args[operand + 1]
    _contract(coupling, call, (operand, len(x.shape) - 1), (operand + 1, 0))
    _count(coupling, call, weight, (0, 1), operand + 1)
    return _with_made(coupling, call, _without(x, -1), weight.along(1), None)


def addmm(coupling: Coupling, call: Call) -> Result:
    """bias + x [rows, in] times a matrix [in, out]."""
    if not has_one_axis_each(call.args[2]):
        return unknown(coupling, call, "a product of two activations")
    product = matrix_product(coupling, call, 1)
    assert isinstance(product, Value)
    return coupling.meet((product, call.args[0]), call.shape, call.operator)


def convolution(coupling: Coupling, call: Call) -> Result:
    """x [batch, in, …] with weight [out, in / groups, …]; `convolution` says by itself whether it is transposed."""
    if call.operator == "convolution":
        return _convolution(coupling, call, is_transposed=bool(call.args[6]), groups=call.args[8])
    if call.operator.startswith("conv_transpose"):
        return _convolution(coupling, call, is_transposed=True, groups=call.arg(6, 1, "groups"))
    return _convolution(coupling, call, is_transposed=False, groups=call.arg(6, 1, "groups"))


def embedding(coupling: Coupling, call: Call) -> Result:
    """Rows of weight [entries, out] by number: the entries stay, what they hold are units."""
    weight, index = call.args[0], call.args[1]
    coupling.pin(weight.along(0), call.operator, "its entries are numbered in the data")
    coupling.pin_all([index], call.operator, "they are used as numbers")
    return _with_made(coupling, call, Value(call.shape), weight.along(1), None)


def has_one_axis_each(weight: Any) -> bool:
    """Whether a value is a matrix each of whose fields varies along one axis, as a weight's do."""
    return len(weight.shape) == 2 and all(len(varying(field)) == 1 for field in weight.fields)


def _convolution(coupling: Coupling, call: Call, *, is_transposed: bool, groups: int) -> Result:
    x, weight, bias = call.args[0], call.args[1], call.arg(2, name="bias")
    channel = len(x.shape) - len(weight.shape) + 1
    read, made = (0, 1) if is_transposed else (1, 0)
    for axis in range(2, len(weight.shape)):
        coupling.pin(weight.along(axis), call.operator, "the size of a kernel stays")
    for axis in range(channel + 1, len(x.shape)):
        coupling.pin(x.along(axis), call.operator, "a kernel moves over them")
    x = Value(x.shape, tuple(field for field in x.fields if set(varying(field)) <= set(range(channel + 1))))
    kept = _without(x, channel)
    _count(coupling, call, weight, (0, 1))
    if groups == 1:
        _contract(coupling, call, (0, channel), (1, read))
        return _with_made(coupling, call, kept, weight.along(made), bias, channel)
    return _grouped(coupling, call, (kept, channel, groups), is_transposed=is_transposed)


def _grouped(coupling: Coupling, call: Call, about: tuple[Value, int, int], *, is_transposed: bool) -> Result:
    """Whole groups go where there are many small ones, else the same channels of every group.

    What is read is `inner` [groups, in of one], what is made `outer` [groups, out of one]. A transposed weight holds
    the inner ones along its first axis, an ordinary one the outer ones; its second axis is of one group.
    """
    x, weight, bias = call.args[0], call.args[1], call.arg(2, name="bias")
    kept, channel, groups = about
    own, shared = vector(weight.along(0), 0), weight.along(1)
    given = vector(x.along(channel), channel)
    made_width = call.shape[channel]
    if own is None or given is None:
        coupling.pin(weight.along(0), call.operator, "it works on something uncuttable")
        coupling.pin(shared, call.operator, "it works on something uncuttable")
        coupling.pin(x.along(channel), call.operator, "it is read together with something uncuttable")
        return Value(call.shape, kept.fields)
    inner = given.reshape(groups, -1)
    if is_transposed:
        coupling.join(inner.ravel(), own)
        outer = coupling.fresh((made_width,), 0).reshape(groups, -1)
    else:
        outer = own.reshape(groups, -1)
    if min(inner.shape[1], outer.shape[1]) <= groups or is_transposed:
        coupling.pin(shared, call.operator, "it is shared by the channels of a group")
        coupling.join(inner, inner[:, :1])
        coupling.join(outer, inner[:, :1])
        coupling.tallies.append(Tally(call.node, "groups", inner[:, 0]))
    else:
        columns = vector(shared, 1)
        coupling.grids.append(outer)
        if columns is None:  # a weight that is computed
            coupling.pin(shared, call.operator, "it is shared by the channels of a group")
            coupling.pin(given, call.operator, "they are read together with something uncuttable")
        else:
            coupling.join(inner, columns[None])
            coupling.readings.append(Reading(call.node, 0, x.along(channel), "product", columns))
    return _with_made(coupling, call, kept, outer.reshape(-1), bias, channel)


def _contract(coupling: Coupling, call: Call, read: tuple[int, int], against: tuple[int, int]) -> None:
    """The units along an axis of one argument are summed up against an axis of another; both as (place, axis)."""
    (operand, axis), (place, column) = read, against
    x, weight = call.args[operand], call.args[place]
    labels, columns = vector(x.along(axis), axis), vector(weight.along(column), column)
    if labels is None or columns is None:
        coupling.pin(x.along(axis), call.operator, "they are read together with something uncuttable")
        coupling.pin(weight.along(column), call.operator, "they read the network's input, or something uncuttable")
        return
    coupling.join(labels, columns)
    field = x.along(axis)
    name = call.name(place) if column == 1 else None
    coupling.readings.append(Reading(call.node, operand, field, "product", columns, name))


def _with_made(coupling: Coupling, call: Call, kept: Value, rows: Labels | None, bias: Any, axis: int = -1) -> Result:
    """What a product makes: the rows of its weight along an axis, whatever labels its input has along the others."""
    shape = [1] * len(call.shape)
    if rows is None or len(varying(rows)) != 1:
        coupling.pin(rows, call.operator, "they are made by a weight of coupled axes")
        coupling.pin_all(
            [bias] if isinstance(bias, Value) else [], call.operator, "they are added to what cannot be cut"
        )
        return Value(call.shape, kept.fields)
    coupling.made.append(rows.ravel())
    shape[axis] = -1
    made = rows.reshape(shape)
    if isinstance(bias, Value) and (entries := vector(bias.along(0), 0)) is not None:
        coupling.join(rows.ravel(), entries)
    return Value(call.shape, (*kept.fields, made))


def _without(x: Value, axis: int) -> Value:
    """A value's fields that do not vary along an axis."""
    return Value(x.shape, tuple(field for field in x.fields if field.shape[axis] == 1))


def _count(coupling: Coupling, call: Call, weight: Value, axes: tuple[int, int], place: int = 1) -> None:
    """A weight that is no parameter (normalised, dequantised …) still costs: its product is counted as work."""
    if place < len(call.origins) and call.origins[place] is not None:
        return
    lanes = [vector(weight.along(axis), axis) for axis in axes]
    positions = prod(call.shape) // max(weight.shape[axes[0]], 1)
    macs = positions * prod(weight.shape)
    coupling.works.append(Work(call.node, tuple(np.zeros(0, int) if lane is None else lane for lane in lanes), macs))
