"""Rules of products of two activations: matrix products and attention, whose heads hold the units."""

from math import prod

import numpy as np

from secateur.coupling.call import Call, Result, unknown
from secateur.coupling.labels import Coupling, Labels, Reading, Value, Work, varying
from secateur.coupling.products import has_one_axis_each, matrix_product


def matmul(coupling: Coupling, call: Call) -> Result:
    """x [..., in] times a matrix [in, out], or a product of two activations [..., n, k] and [..., k, m]."""
    a, b = call.args[0], call.args[1]
    if has_one_axis_each(b) and len(a.shape) > 0 and (call.name(1) is not None or not any(map(_is_split, a.fields))):
        return matrix_product(coupling, call, 0)
    if min(len(a.shape), len(b.shape)) < 2:
        return unknown(coupling, call, "a product of two activations")
    return _product(coupling, call, (0, 1), call.shape)


def baddbmm(coupling: Coupling, call: Call) -> Result:
    """An addend plus a product of two activations."""
    product = _product(coupling, call, (1, 2), call.shape)
    return coupling.meet((product, call.args[0]), call.shape, call.operator)


def attention(coupling: Coupling, call: Call) -> Result:
    """softmax(q kᵀ · scale) v: within a head, q goes with k, and v with what reads it.

    Without an explicit scale it follows from the size of a head, so that only whole heads can go.
    """
    q, k, v = call.args[:3]
    scale = call.arg(6, None, "scale")
    if coupling.whole_heads or (scale is None and _is_any_headed(q, k, v)):
        return _whole_heads(coupling, call, (q, k, v))
    scores = (*call.shape[:-1], k.shape[-2])
    rest = [Value((), _kept(value, -1)) for value in (q, k)]
    coupling.pin_all((*rest, *_masks(call)), call.operator, "they are read together with something uncuttable")
    if scale is None:
        coupling.pin_all((q, k), call.operator, "the scale follows from the size of a head")
    else:
        turned = Value((*k.shape[:-2], k.shape[-1], k.shape[-2]), tuple(np.swapaxes(f, -1, -2) for f in k.fields))
        _summed(coupling, call, (0, q), turned, scores)
    right = _right(coupling, v)
    _work(coupling, call, _last(right), prod(call.shape) * k.shape[-2])
    return coupling.meet((Value((*scores[:-1], 1)), right), call.shape, call.operator)


def _product(coupling: Coupling, call: Call, places: tuple[int, int], shape: tuple[int, ...]) -> Value:
    a, b = (call.args[place] for place in places)
    if coupling.whole_heads:
        a, b = (_headwise(coupling, value) for value in (a, b))
    _summed(coupling, call, (places[0], a), b, shape)
    left = Value((*a.shape[:-1], 1), _kept(a, -1))
    right = _right(coupling, b)
    if _last(a) is None:
        _work(coupling, call, _last(right), prod(shape) * a.shape[-1])
    return coupling.meet((left, right), shape, call.operator)


def _right(coupling: Coupling, b: Value) -> Value:
    """What the second factor [..., k, m] leaves along m: of heads, each of which must lose as many."""
    for field in _kept(b, -2):
        if _is_split(field) and field.shape[-1] > 1:
            coupling.grids.append(field.reshape(-1, field.shape[-1]))
    return Value((*b.shape[:-2], 1, b.shape[-1]), _kept(b, -2))


def _summed(coupling: Coupling, call: Call, left: tuple[int, Value], b: Value, shape: tuple[int, ...]) -> None:
    """The last axis of one value is summed up against the last but one of another."""
    operand, a = left
    field, other = _last(a), b.along(-2) if len(b.shape) > 1 else None
    if field is None or other is None or field.shape[-2] > 1 or other.shape[-1] > 1:
        coupling.pin(field, call.operator, "they are read together with something uncuttable")
        coupling.pin(other, call.operator, "they are read together with something uncuttable")
        return
    left_labels, right_labels = np.squeeze(field, -2), np.squeeze(other, -1)
    if _is_split(field):
        coupling.grids.append(left_labels.reshape(-1, left_labels.shape[-1]))
        coupling.grids.append(right_labels.reshape(-1, right_labels.shape[-1]))
    coupling.join(left_labels, right_labels)
    coupling.readings.append(Reading(call.node, operand, field))
    _work(coupling, call, field, prod(shape) * a.shape[-1])


def _whole_heads(coupling: Coupling, call: Call, values: tuple[Value, Value, Value]) -> Result:
    """Every head is one unit, on the axis before the last two."""
    heads = [_heads_of(coupling, value) for value in values]
    most = max(value.shape[-3] for value in values if len(value.shape) > 2) if len(call.shape) > 2 else 1
    if any(labels is None or most % max(len(labels), 1) for labels in heads):
        return unknown(coupling, call, "its heads cannot be told apart")
    repeated = [np.repeat(labels, most // len(labels)) for labels in heads if labels is not None]
    for labels in repeated[1:]:
        coupling.join(repeated[0], labels)
    field = repeated[2].reshape([-1 if axis == len(call.shape) - 3 else 1 for axis in range(len(call.shape))])
    for mask in _masks(call):
        shape = (*call.shape[:-1], values[1].shape[-2])
        coupling.meet((Value(shape, (field,)), mask), shape, call.operator)
    _work(coupling, call, field, 2 * prod(call.shape) * values[1].shape[-2])
    return Value(call.shape, (field,))


def _heads_of(coupling: Coupling, value: Value) -> Labels | None:
    """One label for each head, the entries of a head joined."""
    if len(value.shape) < 3:
        return None
    field = value.along(-3)
    if field is None or any(size > 1 for size in (*field.shape[:-3], field.shape[-2])):
        return None
    coupling.join(field, field[..., :1])
    return field[..., :1].reshape(-1)


def _headwise(coupling: Coupling, value: Value) -> Value:
    """A value whose entries of one head are one unit."""
    fields = []
    for field in value.fields:
        first = field[..., :1, :1] if _is_split(field) else field
        coupling.join(field, first)
        fields.append(first)
    return Value(value.shape, tuple(fields))


def _masks(call: Call) -> tuple[Value, ...]:
    mask = call.arg(3, None, "attn_mask")
    return (mask,) if isinstance(mask, Value) else ()


def _is_any_headed(*values: Value) -> bool:
    return any(len(value.shape) > 2 and value.along(-3) is not None for value in values)


def _is_split(field: Labels) -> bool:
    return len(varying(field)) > 1


def _last(value: Value) -> Labels | None:
    return value.along(-1)


def _kept(value: Value, axis: int) -> tuple[Labels, ...]:
    return tuple(field for field in value.fields if field.shape[axis] == 1)


def _work(coupling: Coupling, call: Call, field: Labels | None, macs: int) -> None:
    coupling.works.append(Work(call.node, (np.zeros(0, int) if field is None else field.ravel(),), macs))
