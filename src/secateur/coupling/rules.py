"""One short rule per operator: how labels flow through it, what it joins, reads and pins.

A rule takes the coupling and the operator's call, and gives the value that comes out. What has no rule pins all units
that flow into it: never a guess.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.coupling.labels import Coupling, Labels, Reading, Value, varying, vector
from secateur.coupling.shapes import reshaped


@dataclass(frozen=True)
class Call:
    """One operator call in the graph: tensors are values, and everything else is as it stands in the graph.

    `args` are the positional arguments, `named` the values among the keyword arguments; `names` has, for every
    positional argument, the parameter that it is, unchanged.
    """

    node: str
    operator: str
    args: tuple[Any, ...]
    shape: tuple[int, ...]
    names: tuple[str | None, ...] = ()
    named: tuple[Value, ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        """All values among the arguments, lists included."""
        return (*_values(self.args), *self.named)

    def arg(self, place: int, default: Any = None) -> Any:
        """An argument, or its default where the call leaves it out."""
        return self.args[place] if place < len(self.args) else default

    def name(self, place: int) -> str | None:
        """The parameter that an argument is, unchanged."""
        return self.names[place] if place < len(self.names) else None


Rule = Callable[[Coupling, Call], Value]


def follow(coupling: Coupling, call: Call) -> Value:
    """The value that comes out of a call; an operator without a rule pins what flows into it."""
    rule = RULES.get(call.operator)
    if rule is not None:
        return rule(coupling, call)
    return _unknown(coupling, call, "no rule for this operator")


def elementwise(coupling: Coupling, call: Call) -> Value:
    """Entries at the same place belong together; broadcasting included."""
    return coupling.meet(call.values, call.shape, call.operator)


def linear(coupling: Coupling, call: Call) -> Value:
    """x [..., in] times weight [out, in], plus bias [out]."""
    x, weight, bias = call.args[0], call.args[1], call.arg(2)
    if len(weight.shape) != 2:
        return _unknown(coupling, call, "a weight that is no matrix")
    _contract(coupling, call, 0, weight, 1)
    return _with_made(coupling, call, x, weight.along(0), bias)


def matmul(coupling: Coupling, call: Call) -> Value:
    """x [..., in] times a matrix [in, out]; products of two activations have no rule yet."""
    return _product(coupling, call, 0)


def addmm(coupling: Coupling, call: Call) -> Value:
    """bias + x [rows, in] times a matrix [in, out]."""
    return coupling.meet((_product(coupling, call, 1), call.args[0]), call.shape, call.operator)


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
    last = len(x.shape) - 1
    if len(normalized_shape) != 1:
        return _unknown(coupling, call, "normalised over several axes")
    for value in call.args[2:4]:
        if isinstance(value, Value):
            _attach(coupling, call, x, last, value)
    labels = vector(x.along(last), last)
    if call.arg(2) is None:
        coupling.pin(x.along(last), call.operator, "its size is a number in the code, as it has no weight")
    elif labels is None:
        coupling.pin(x.along(last), call.operator, "units of several axes")
    else:
        coupling.readings.append(Reading(call.node, 0, last, labels, "norm", weight=call.name(2)))
    return x


def softmax(coupling: Coupling, call: Call) -> Value:
    """Shares over an axis: a removed unit would change the others."""
    x, axis = call.args[0], call.args[1]
    coupling.pin(x.along(axis), call.operator, "its entries share one sum")
    return x


def concatenate(coupling: Coupling, call: Call) -> Value:
    """Labels one after the other along an axis; joined along all others."""
    values, axis = call.args[0], call.arg(1, 0) % len(call.shape)
    pieces = [_piece(coupling, call, value, axis) for value in values]
    others = [Value(_flat(v.shape, axis), tuple(f for f in v.fields if axis not in varying(f))) for v in values]
    rest = coupling.meet(others, _flat(call.shape, axis), call.operator)
    if call.shape[axis] <= 1:
        return Value(call.shape, rest.fields)
    return Value(call.shape, (*rest.fields, np.concatenate(pieces, axis)))


def reshape(coupling: Coupling, call: Call) -> Value:
    """View, flatten, unflatten, squeeze: labels spread over each run of axes that changes, then reshaped like it."""
    x = call.args[0]
    fields = [reshaped(field, x.shape, call.shape) for field in x.fields]
    followed = [field for field in fields if field is not None]
    axes = [axis for field in followed for axis in varying(field)]
    if len(followed) == len(fields) and len(set(axes)) == len(axes):
        return Value(call.shape, tuple(followed))
    return _unknown(coupling, call, "the reshape mixes units in a way that no rule follows")


def permute(coupling: Coupling, call: Call) -> Value:
    """Axes in another order."""
    order = [axis % len(call.shape) for axis in call.args[1]]
    return Value(call.shape, tuple(field.transpose(order) for field in call.args[0].fields))


def reverse(coupling: Coupling, call: Call) -> Value:
    """All axes in reverse order."""
    return Value(call.shape, tuple(field.T for field in call.args[0].fields))


def transpose(coupling: Coupling, call: Call) -> Value:
    """Two axes change places; without any named, the last two."""
    one, other = call.arg(1, -2), call.arg(2, -1)
    return Value(call.shape, tuple(np.swapaxes(field, one, other) for field in call.args[0].fields))


def total(coupling: Coupling, call: Call) -> Value:
    """A sum over axes reads the units that lie along them; a mean also counts them, so it pins them."""
    x, axes = call.args[0], call.arg(1)
    ndim = len(x.shape)
    summed = [axis % ndim for axis in axes or range(ndim)]
    for axis in summed:
        labels = vector(x.along(axis), axis)
        if labels is not None and call.operator.startswith("sum"):
            coupling.readings.append(Reading(call.node, 0, axis, labels))
        else:
            coupling.pin(x.along(axis), call.operator, "it depends on how many units there are")
    left = [f for f in x.fields if not set(varying(f)) & set(summed)]
    if len(call.shape) < ndim:
        left = [np.squeeze(field, tuple(summed)) for field in left]
    return Value(call.shape, tuple(left))


def expand(coupling: Coupling, call: Call) -> Value:
    """Repeats along axes of size one; new axes come first."""
    extra = len(call.shape) - len(call.args[0].shape)
    return Value(call.shape, tuple(f.reshape((1,) * extra + f.shape) for f in call.args[0].fields))


def _unknown(coupling: Coupling, call: Call, reason: str) -> Value:
    """A value that nothing is known of: what flows into it stays."""
    coupling.pin_all(call.values, call.operator, reason)
    return Value(call.shape)


def _values(args: Any) -> Iterator[Value]:
    for arg in args:
        if isinstance(arg, Value):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _values(arg)


def _product(coupling: Coupling, call: Call, operand: int) -> Value:
    """The argument at a place times the matrix [in, out] after it."""
    x, weight = call.args[operand], call.args[operand + 1]
    if len(weight.shape) != 2 or len(x.shape) < 1 or not _one_axis_each(weight):
        return _unknown(coupling, call, "a product of two activations")
    _contract(coupling, call, operand, weight, 0)
    return _with_made(coupling, call, x, weight.along(1), None)


def _contract(coupling: Coupling, call: Call, operand: int, weight: Value, axis: int) -> None:
    """The units along the last axis of an argument are summed up against an axis of a weight."""
    x = call.args[operand]
    last = len(x.shape) - 1
    labels, columns = vector(x.along(last), last), vector(weight.along(axis), axis)
    if labels is None or columns is None:
        coupling.pin(x.along(last), call.operator, "they are read together with something uncuttable")
        coupling.pin(weight.along(axis), call.operator, "they read the network's input, or something uncuttable")
        return
    coupling.join(labels, columns)
    name = call.name(1) if call.operator == "linear" else None
    coupling.readings.append(Reading(call.node, operand, last, labels, "product", columns, name))


def _with_made(coupling: Coupling, call: Call, x: Value, rows: Labels | None, bias: Any) -> Value:
    """What a product makes: the rows of its weight along the last axis, whatever labels x has along the others."""
    kept = tuple(field for field in x.fields if field.shape[-1] == 1)
    if rows is None or len(varying(rows)) != 1:
        coupling.pin(rows, call.operator, "they are made by a weight of coupled axes")
        return Value(call.shape, kept)
    coupling.made.append(rows.ravel())
    out = Value(call.shape, (*kept, rows.reshape((1,) * (len(call.shape) - 1) + (-1,))))
    return out if bias is None else coupling.meet((out, bias), call.shape, call.operator)


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
    fresh = coupling.fresh(value.shape, axis)
    coupling.pin(fresh, call.operator, "it is beside units, but cannot be cut itself")
    coupling.pin(field, call.operator, "units of several axes are put side by side")
    return fresh


def _flat(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


_UNARY = """relu relu_ relu6 elu elu_ selu selu_ celu celu_ gelu gelu_ silu silu_ mish mish_ hardswish hardswish_
hardsigmoid hardsigmoid_ hardtanh hardtanh_ leaky_relu leaky_relu_ log_sigmoid rrelu rrelu_ sigmoid sigmoid_ softplus
softshrink hardshrink tanh tanh_ threshold threshold_ dropout dropout_ alpha_dropout feature_dropout
feature_alpha_dropout abs neg exp log sqrt rsqrt square sin cos erf reciprocal clamp clamp_ clone contiguous detach
detach_ alias to _to_copy"""
_BINARY = "add add_ sub sub_ rsub mul mul_ div div_ pow maximum minimum where lerp clamp_min clamp_max"
_SHAPE = "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"

RULES: dict[str, Rule] = {
    **dict.fromkeys(f"{_UNARY} {_BINARY}".split(), elementwise),
    **dict.fromkeys(_SHAPE.split(), reshape),
    **dict.fromkeys(("batch_norm", "prelu"), channelwise),
    **dict.fromkeys(("softmax", "log_softmax"), softmax),
    **dict.fromkeys(("sum", "mean"), total),
    **dict.fromkeys(("t", "numpy_T"), reverse),
    **dict.fromkeys(("transpose", "mT"), transpose),
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "addmm": addmm,
    "layer_norm": layer_norm,
    "cat": concatenate,
    "permute": permute,
    "expand": expand,
}
