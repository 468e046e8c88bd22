"""One short rule per operator: how labels flow through it, what it joins, reads and pins.

A rule takes the coupling and the operator's call, and gives the value that comes out. What has no rule pins all units
that flow into it: never a guess.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.coupling.labels import Coupling, Labels, Reading, Value, varying, vector


@dataclass(frozen=True)
class Call:
    """One operator call in the graph: tensors are values, and everything else is as it stands in the graph."""

    node: str
    operator: str
    args: tuple[Any, ...]
    shape: tuple[int, ...]
    names: tuple[str | None, ...] = ()  # the parameter that an argument is, unchanged

    @property
    def values(self) -> tuple[Value, ...]:
        """All values among the arguments, lists included."""
        return tuple(_values(self.args))

    def arg(self, place: int, default: Any = None) -> Any:
        """An argument, or its default where the call leaves it out."""
        return self.args[place] if place < len(self.args) else default


Rule = Callable[[Coupling, Call], Value]


def follow(coupling: Coupling, call: Call) -> Value:
    """The value that comes out of a call; an operator without a rule pins what flows into it."""
    rule = RULES.get(call.operator)
    if rule is not None:
        return rule(coupling, call)
    coupling.pin_all(call.values, call.operator, "no rule for this operator")
    return Value(call.shape)


def elementwise(coupling: Coupling, call: Call) -> Value:
    """Entries at the same place belong together; broadcasting included."""
    return _meet(coupling, call, call.values)


def linear(coupling: Coupling, call: Call) -> Value:
    """x [..., in] times weight [out, in], plus bias [out]."""
    x, weight, bias = call.args[0], call.args[1], call.arg(2)
    _contract(coupling, call, x, -1, weight, 1)
    return _with_made(coupling, call, x, weight.along(0), bias)


def matmul(coupling: Coupling, call: Call) -> Value:
    """x [..., in] times a matrix [in, out]; products of two activations have no rule yet."""
    x, weight = call.args[0], call.args[1]
    if len(weight.shape) != 2 or len(x.shape) < 1 or not _one_axis_each(weight):
        coupling.pin_all(call.values, call.operator, "a product of two activations")
        return Value(call.shape)
    _contract(coupling, call, x, -1, weight, 0)
    return _with_made(coupling, call, x, weight.along(1), None)


def addmm(coupling: Coupling, call: Call) -> Value:
    """bias + x [rows, in] times a matrix [in, out]."""
    bias, x, weight = call.args[:3]
    product = matmul(coupling, Call(call.node, call.operator, (x, weight), call.shape))
    return _meet(coupling, call, (product, bias))


def channelwise(coupling: Coupling, call: Call) -> Value:
    """Vectors with one entry per channel (axis 1) act on x: batch-norm, PReLU."""
    x, *vectors = call.args
    for value in vectors:
        if isinstance(value, Value):
            _attach(coupling, call, x, 1, value)
    return x


def layer_norm(coupling: Coupling, call: Call) -> Value:
    """Statistics over the last axis: a removed unit leaves them, so this is a place where units are read."""
    x, normalized_shape = call.args[0], call.args[1]
    if len(normalized_shape) != 1:
        for axis in range(-len(normalized_shape), 0):
            coupling.pin(x.along(axis), call.operator, "normalised over several axes")
        coupling.pin_all([v for v in call.args[2:] if isinstance(v, Value)], call.operator, "normalised over several axes")
        return x  # type: ignore[no-any-return]
    for value in call.args[2:4]:
        if isinstance(value, Value):
            _attach(coupling, call, x, len(x.shape) - 1, value)
    labels = vector(x.along(-1), len(x.shape) - 1)
    if labels is None or call.arg(2) is None:
        reason = "its size is a number in the code, as it has no weight" if call.arg(2) is None else "units of several axes"
        coupling.pin(x.along(-1), call.operator, reason)
    else:
        coupling.readings.append(Reading(call.node, 0, len(x.shape) - 1, labels, "norm"))
    return x  # type: ignore[no-any-return]


def softmax(coupling: Coupling, call: Call) -> Value:
    """Shares over an axis: a removed unit would change the others."""
    x, axis = call.args[0], call.args[1]
    coupling.pin(x.along(axis), call.operator, "its entries share one sum")
    return x  # type: ignore[no-any-return]


def concatenate(coupling: Coupling, call: Call) -> Value:
    """Labels one after the other along an axis; joined along all others."""
    values, axis = call.args[0], call.arg(1, 0) % len(call.shape)
    pieces = [_piece(coupling, call, value, axis) for value in values]
    others = [Value(_flat(v.shape, axis), tuple(f for f in v.fields if axis not in varying(f))) for v in values]
    rest = _meet(coupling, Call(call.node, call.operator, (), _flat(call.shape, axis)), others)
    if call.shape[axis] <= 1:
        return Value(call.shape, rest.fields)
    return Value(call.shape, (*rest.fields, np.concatenate(pieces, axis)))


def reshape(coupling: Coupling, call: Call) -> Value:
    """View, flatten, unflatten, squeeze: labels are spread over each run of axes that changes, then reshaped like it."""
    x = call.args[0]
    fields = tuple(_reshaped(field, x.shape, call.shape) for field in x.fields)
    if all(field is not None for field in fields):
        return Value(call.shape, fields)
    coupling.pin_all([x], call.operator, "the reshape mixes units in a way that no rule follows")
    return Value(call.shape)


def permute(coupling: Coupling, call: Call) -> Value:
    """Axes in another order."""
    order = [axis % len(call.shape) for axis in call.args[1]]
    return Value(call.shape, tuple(field.transpose(order) for field in call.args[0].fields))


def transpose(coupling: Coupling, call: Call) -> Value:
    """Two axes change places; without any named, the last two."""
    one, other = call.arg(1, -2), call.arg(2, -1)
    if len(call.shape) < 2:
        return call.args[0]  # type: ignore[no-any-return]
    return Value(call.shape, tuple(np.swapaxes(field, one, other) for field in call.args[0].fields))


def total(coupling: Coupling, call: Call) -> Value:
    """A sum over axes reads the units that lie along them; a mean also counts them, so it pins them."""
    x, axes = call.args[0], call.arg(1)
    ndim = len(x.shape)
    summed = range(ndim) if axes in (None, []) else [a % ndim for a in (axes if isinstance(axes, list | tuple) else [axes])]
    for axis in summed:
        labels = vector(x.along(axis), axis)
        if labels is not None and call.operator.startswith("sum"):
            coupling.readings.append(Reading(call.node, 0, axis, labels))
        else:
            coupling.pin(x.along(axis), call.operator, "it depends on how many units there are")
    left = [f for f in x.fields if not set(varying(f)) & set(summed)]
    if not call.arg(2, False):
        left = [np.squeeze(field, tuple(summed)) for field in left]
    return Value(call.shape, tuple(left))


def expand(coupling: Coupling, call: Call) -> Value:
    """Repeats along axes of size one; new axes come first."""
    extra = len(call.shape) - len(call.args[0].shape)
    return Value(call.shape, tuple(f.reshape((1,) * extra + f.shape) for f in call.args[0].fields))


def _values(args: Any) -> Iterator[Value]:
    for arg in args:
        if isinstance(arg, Value):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _values(arg)


def _meet(coupling: Coupling, call: Call, values: tuple[Value, ...] | list[Value]) -> Value:
    """The value where broadcast values meet entry by entry; units that meet something uncuttable stay."""
    ndim = len(call.shape)
    met: list[Labels] = []
    for value in values:
        for field in value.fields:
            met = _merge(coupling, met, field.reshape((1,) * (ndim - field.ndim) + field.shape))
    for value in values:
        shape = (1,) * (ndim - len(value.shape)) + value.shape
        cuttable = {axis + ndim - len(value.shape) for field in value.fields for axis in varying(field)}
        for field in met:
            if any(shape[axis] > 1 and axis not in cuttable for axis in varying(field)):
                coupling.pin(field, call.operator, "they meet values that cannot be cut")
    return Value(call.shape, tuple(met))


def _merge(coupling: Coupling, met: list[Labels], field: Labels) -> list[Labels]:
    apart = []
    for other in met:
        if not set(varying(other)) & set(varying(field)):
            apart.append(other)
            continue
        coupling.join(other, field)
        shape = np.broadcast_shapes(other.shape, field.shape)
        field = other if other.shape == shape else np.broadcast_to(field, shape)
    return [*apart, field]


def _contract(coupling: Coupling, call: Call, x: Value, x_axis: int, weight: Value, axis: int) -> None:
    """The units along an axis of x are summed up against an axis of a weight."""
    x_axis %= len(x.shape)
    labels, columns = vector(x.along(x_axis), x_axis), vector(weight.along(axis), axis)
    if labels is None or columns is None:
        coupling.pin(x.along(x_axis), call.operator, "they are read together with something uncuttable")
        coupling.pin(weight.along(axis), call.operator, "they read the network's input, or something uncuttable")
        return
    coupling.join(labels, columns)
    place = next(i for i, arg in enumerate(call.args) if arg is x)
    name = call.names[1] if call.operator == "linear" and len(call.names) > 1 else None
    coupling.readings.append(Reading(call.node, place, x_axis, labels, "product", columns, name))


def _with_made(coupling: Coupling, call: Call, x: Value, rows: Labels | None, bias: Any) -> Value:
    """What a product makes: the rows of its weight along the last axis, whatever labels x has along the others."""
    kept = tuple(field for field in x.fields if field.shape[-1] == 1)
    if rows is None or len(varying(rows)) != 1:
        coupling.pin(rows, call.operator, "they are made by a weight of coupled axes")
        return Value(call.shape, kept)
    coupling.made.append(rows.ravel())
    out = Value(call.shape, (*kept, rows.reshape((1,) * (len(call.shape) - 1) + (-1,))))
    return out if bias is None else _meet(coupling, call, (out, bias))


def _one_axis_each(weight: Value) -> bool:
    return all(len(varying(field)) == 1 for field in weight.fields)


def _attach(coupling: Coupling, call: Call, x: Value, axis: int, value: Value) -> None:
    """A vector's entries belong to the units along an axis of x."""
    entries = vector(value.along(0), 0)
    labels = vector(x.along(axis), axis)
    if entries is None:
        return  # one entry serves all units
    if labels is None:
        coupling.pin(entries, call.operator, "it acts on something uncuttable")
        coupling.pin(x.along(axis), call.operator, "it acts on units of several axes")
    else:
        coupling.join(labels, entries)


def _piece(coupling: Coupling, call: Call, value: Value, axis: int) -> Labels:
    field = value.along(axis)
    if field is not None and varying(field) == (axis,):
        return field
    fresh = coupling.fresh(value.shape, axis) if value.shape[axis] != 1 else coupling.fresh((1,) * len(value.shape), axis)
    coupling.pin(fresh, call.operator, "it is beside units, but cannot be cut itself")
    coupling.pin(field, call.operator, "units of several axes are put side by side")
    return fresh


def _flat(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _reshaped(field: Labels, old: tuple[int, ...], new: tuple[int, ...]) -> Labels | None:
    """A field over `old` as a field over `new`, run of axes by run of axes."""
    if 0 in old or 0 in new:
        return None
    shape: list[int] = []
    full: list[int] = []
    for before, after in _runs(old, new):
        varies = any(field.shape[axis] > 1 for axis in before)
        full += [old[axis] if varies else 1 for axis in before]
        shape += [new[axis] if varies else 1 for axis in after]
    return np.broadcast_to(field, full).reshape(shape)


def _runs(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of axes of two shapes that hold equally many entries."""
    i = j = 0
    while i < len(old) or j < len(new):
        before, after, left, right = [], [], 1, 1
        while not before and not after or left != right:
            if (left <= right and i < len(old)) or j >= len(new):
                before.append(i)
                left *= old[i]
                i += 1
            else:
                after.append(j)
                right *= new[j]
                j += 1
        yield before, after


_UNARY = """relu relu_ relu6 elu elu_ selu selu_ celu celu_ gelu gelu_ silu silu_ mish mish_ hardswish hardswish_ hardsigmoid
hardsigmoid_ hardtanh hardtanh_ leaky_relu leaky_relu_ log_sigmoid rrelu rrelu_ sigmoid sigmoid_ softplus softshrink
hardshrink tanh tanh_ threshold threshold_ dropout dropout_ alpha_dropout feature_dropout feature_alpha_dropout abs neg exp
log sqrt rsqrt square sin cos erf reciprocal clamp clamp_ clone contiguous detach detach_ alias to
_to_copy"""
_BINARY = "add add_ sub sub_ rsub mul mul_ div div_ pow maximum minimum where lerp clamp_min clamp_max"
_SHAPE = "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"

RULES: dict[str, Rule] = {
    **dict.fromkeys(f"{_UNARY} {_BINARY}".split(), elementwise),
    **dict.fromkeys(_SHAPE.split(), reshape),
    **dict.fromkeys(("batch_norm", "prelu"), channelwise),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    **dict.fromkeys(("sum", "mean"), total),
    **dict.fromkeys(("transpose", "t", "numpy_T"), transpose),
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "addmm": addmm,
    "layer_norm": layer_norm,
    "cat": concatenate,
    "permute": permute,
    "expand": expand,
}
