"""Rules of norms, and of whatever else takes a statistic over units."""

import numpy as np

from secateur.coupling.call import Call, Result, unknown
from secateur.coupling.labels import Coupling, Reading, Value, varying, vector


def channelwise(coupling: Coupling, call: Call) -> Result:
    """Vectors with one entry per channel (axis 1) act on x: batch-norm, instance-norm, PReLU.

    A norm with statistics of its input (of a standardised weight, say) also reads every entry of a channel.
    """
    x, *vectors = call.args
    for value in vectors:
        if isinstance(value, Value):
            _attach(coupling, call, x, 1, value)
    if call.operator != "prelu" and call.arg(5, name="training"):
        for field in x.fields:
            if set(varying(field)) - {1}:
                coupling.pin(field, call.operator, "its statistics are of all entries of a channel")
    return x


def layer_norm(coupling: Coupling, call: Call) -> Result:
    """Statistics over the last axis: a removed unit leaves them, so this is a place where units are read."""
    x, normalized_shape = call.args[0], call.args[1]
    last = len(x.shape) - 1
    if len(normalized_shape) != 1:
        return unknown(coupling, call, "normalised over several axes")
    for value in call.args[2:4]:
        if isinstance(value, Value):
            _attach(coupling, call, x, last, value)
    if call.arg(2, name="weight") is None:
        coupling.pin(x.along(last), call.operator, "its size is a number in the code, as it has no weight")
    else:
        _normalised(coupling, call, x, last, call.name(2))
    return x


def group_norm(coupling: Coupling, call: Call) -> Result:
    """Statistics over each group of channels (axis 1), every group of which must lose the same number."""
    x, groups = call.args[0], call.args[1]
    for value in call.args[2:4]:
        if isinstance(value, Value):
            _attach(coupling, call, x, 1, value)
    labels = vector(x.along(1), 1)
    if labels is not None and len(labels) == groups > 1:
        coupling.pin(labels, call.operator, "its groups are of one channel each")
    elif labels is not None:
        coupling.grids.append(labels.reshape(groups, -1))
        _normalised(coupling, call, x, 1, call.name(2))
    else:
        coupling.pin(x.along(1), call.operator, "units of several axes")
    return x


def softmax(coupling: Coupling, call: Call) -> Result:
    """Shares over an axis: a removed unit would change the others."""
    x, axis = call.args[0], call.args[1]
    field = x.along(axis)
    if field is not None and len(varying(field)) > 1:  # branches of channels: shares are among a channel's branches
        coupling.join(field, field.take([0], axis))
        coupling.hold(field, axis % len(x.shape), call.operator)
    else:
        coupling.pin(field, call.operator, "its entries share one sum")
    return x


def total(coupling: Coupling, call: Call) -> Result:
    """A sum over axes reads the units that lie along them; a mean is taken over those that stay."""
    x, axes = call.args[0], call.arg(2 if call.operator == "linalg_vector_norm" else 1, name="dim")
    if isinstance(axes, Value):  # the smaller or larger of two
        return coupling.meet(call.values, call.shape, call.operator)
    ndim = len(x.shape)
    summed = [axis % ndim for axis in ([axes] if isinstance(axes, int) else axes or range(ndim))]
    kind = {"mean": "mean"}.get(call.operator, "product")
    left = []
    for field in x.fields:
        over = set(varying(field)) & set(summed)
        if 0 < len(over) < len(varying(field)):  # several entries of each unit give one
            first = field[tuple(slice(0, 1) if axis in over else slice(None) for axis in range(ndim))]
            coupling.join(field, first)
            left.append(first)
        elif not over:
            left.append(field)
        elif len(varying(field)) == 1 and _is_sum(call) and (kind != "mean" or len(summed) == 1):
            coupling.readings.append(Reading(call.node, 0, field, kind))
        else:
            coupling.pin(field, call.operator, "it depends on how many units there are")
    if len(call.shape) < ndim:
        left = [np.squeeze(field, tuple(summed)) for field in left]
    return [Value(shape, tuple(left)) for shape in call.shapes] if call.shapes else Value(call.shape, tuple(left))


def recurrent(coupling: Coupling, call: Call) -> Result:
    """Recurrent layers keep all their units."""
    return unknown(coupling, call, "recurrent layers keep their units")


def _is_sum(call: Call) -> bool:
    """Whether zeros add nothing: sums, means of the rest, and norms of order 2."""
    return call.operator in ("sum", "mean") or (call.operator == "linalg_vector_norm" and call.arg(1, 2, "ord") == 2)


def _normalised(coupling: Coupling, call: Call, x: Value, axis: int, weight: str | None) -> None:
    """Units along an axis are read by a norm; those of several axes (heads) share its weight, so they go together."""
    field, scale = x.along(axis), call.arg(2)
    if field is not None and varying(field) != (axis,) and isinstance(scale, Value) and scale.fields:
        field = scale.fields[0].reshape([-1 if number == axis else 1 for number in range(len(x.shape))])
    if field is not None and varying(field) == (axis,):
        coupling.readings.append(Reading(call.node, 0, field, "norm", weight=weight))
    else:
        coupling.pin(field, call.operator, "units of several axes")


def _attach(coupling: Coupling, call: Call, x: Value, axis: int, value: Value) -> None:
    """A vector's entries belong to the units along an axis of x."""
    entries = vector(value.along(0), 0)
    field = x.along(axis)
    if entries is None:
        return  # one entry serves all units
    if field is None:
        coupling.pin(entries, call.operator, "it acts on something uncuttable")
    else:
        shape = [1] * len(x.shape)
        shape[axis] = -1
        coupling.join(field, entries.reshape(shape))
