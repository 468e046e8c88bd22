"""Rules of operators that only move entries: reshapes, transposes, concatenations, splits."""

from collections import Counter
from typing import Any

import numpy as np

from secateur.coupling.call import Call, Result, unknown
from secateur.coupling.labels import Coupling, Labels, Value, varying, vector
from secateur.coupling.shapes import reshaped

_SIZED = {"view", "reshape", "_unsafe_view", "unflatten"}  # by sizes, of which one may be left open


def reshape(coupling: Coupling, call: Call) -> Result:
    """View, flatten, unflatten, squeeze: labels spread over each run of axes that changes, then reshaped like it."""
    x = call.args[0]
    if call.operator in _SIZED and any(isinstance(arg, list) and -1 in arg for arg in call.args):
        coupling.inferred += x.fields
    fields = [reshaped(field, x.shape, call.shape) for field in x.fields]
    axes = Counter(axis for field in fields if field is not None for axis in varying(field))
    followed = [field is not None and all(axes[axis] == 1 for axis in varying(field)) for field in fields]
    for field, is_followed in zip(x.fields, followed, strict=True):
        if not is_followed:
            coupling.pin(field, call.operator, "the reshape mixes units in a way that no rule follows")
    return Value(call.shape, tuple(f for f, is_f in zip(fields, followed, strict=True) if f is not None and is_f))


def same(coupling: Coupling, call: Call) -> Result:
    """The first argument, in another form."""
    x: Value = call.args[0]
    return Value(call.shape, x.fields, x.loose)


def permute(coupling: Coupling, call: Call) -> Result:
    """Axes in another order."""
    order = [axis % len(call.shape) for axis in call.args[1]]
    return Value(call.shape, tuple(field.transpose(order) for field in call.args[0].fields))


def movedim(coupling: Coupling, call: Call) -> Result:
    """Some axes in other places."""
    return Value(call.shape, tuple(np.moveaxis(field, call.args[1], call.args[2]) for field in call.args[0].fields))


def reverse(coupling: Coupling, call: Call) -> Result:
    """All axes in reverse order."""
    return Value(call.shape, tuple(field.T for field in call.args[0].fields))


def transpose(coupling: Coupling, call: Call) -> Result:
    """Two axes change places; without any named, the last two."""
    one, other = call.arg(1, -2), call.arg(2, -1)
    return Value(call.shape, tuple(np.swapaxes(field, one, other) for field in call.args[0].fields))


def expand(coupling: Coupling, call: Call) -> Result:
    """Repeats along axes of size one; new axes come first."""
    shape = call.args[0].shape
    extra = len(call.shape) - len(shape)
    old = (1,) * extra + tuple(shape)
    loose = frozenset(axis for axis, size in enumerate(call.shape) if size > 1 and old[axis] == 1)
    return Value(call.shape, tuple(f.reshape((1,) * extra + f.shape) for f in call.args[0].fields), loose)


def repeat(coupling: Coupling, call: Call) -> Result:
    """Copies side by side; units that are copied have several entries."""
    x, times = call.args[0], call.args[1]
    extra = len(times) - len(x.shape)
    fields = [field.reshape((1,) * extra + field.shape) for field in x.fields]
    return Value(
        call.shape,
        tuple(np.tile(f, [t if f.shape[a] > 1 else 1 for a, t in enumerate(times)]) for f in fields),
    )


def repeat_each(coupling: Coupling, call: Call) -> Result:
    """Every entry of an axis several times in a row."""
    x, times, axis = call.args[0], call.arg(1, name="repeats"), call.arg(2, name="dim")
    if not isinstance(times, int) or not isinstance(axis, int):
        return unknown(coupling, call, "it repeats by numbers in the data")
    return Value(call.shape, tuple(np.repeat(f, times, axis) if f.shape[axis] > 1 else f for f in x.fields))


def gated(coupling: Coupling, call: Call) -> Result:
    """One half of an axis times the sigmoid of the other: halves go together."""
    x, axis = call.args[0], call.arg(1, -1, "dim")
    halves = [np.split(f, 2, axis) if f.shape[axis] > 1 else [f, f] for f in x.fields]
    for one, other in halves:
        coupling.join(one, other)
    return Value(call.shape, tuple(one for one, _ in halves))


def concatenate(coupling: Coupling, call: Call) -> Result:
    """Labels one after the other along an axis; joined along all others."""
    values, axis = [v for v in call.args[0] if v.shape != (0,)], call.arg(1, 0, "dim") % len(call.shape)
    pieces = [_piece(coupling, call, value, axis) for value in values]
    others = [Value(_flat(v.shape, axis), tuple(f for f in v.fields if axis not in varying(f))) for v in values]
    rest = coupling.meet(others, _flat(call.shape, axis), call.operator)
    if call.shape[axis] <= 1 or all(not value.fields or value.along(axis) is None for value in values):
        return Value(call.shape, rest.fields)
    return Value(call.shape, (*rest.fields, np.concatenate(pieces, axis)))


def stack(coupling: Coupling, call: Call) -> Result:
    """Values that meet entry by entry, side by side along a new axis."""
    values, axis = call.args[0], call.arg(1, 0, "dim") % len(call.shape)
    met = coupling.meet(values, values[0].shape, call.operator)
    return Value(call.shape, tuple(np.expand_dims(field, axis) for field in met.fields))


def split(coupling: Coupling, call: Call) -> Result:
    """Pieces along an axis: where units are split into equal ones, each piece must lose as many."""
    x, axis = call.args[0], call.arg(2, 0, "dim") % max(len(call.args[0].shape), 1)
    sizes = [shape[axis] for shape in call.shapes]
    return _pieces(coupling, call, x, axis, sizes)


def unbind(coupling: Coupling, call: Call) -> Result:
    """The slices along an axis, each on its own."""
    x, axis = call.args[0], call.arg(1, 0, "dim") % len(call.args[0].shape)
    return [_selected(coupling, call, x, axis, place) for place in range(x.shape[axis])]


def select(coupling: Coupling, call: Call) -> Result:
    """One slice along an axis."""
    x, axis = call.args[0], call.args[1] % len(call.args[0].shape)
    place = call.args[2]
    if not isinstance(place, int):
        return unknown(coupling, call, "a slice at a place that depends on the data")
    return _selected(coupling, call, x, axis, place)


def slices(coupling: Coupling, call: Call) -> Result:
    """Part of an axis: units that lie along it are counted in the code, so they stay; of every n-th, n go together."""
    x, axis = call.args[0], call.arg(1, 0) % len(call.args[0].shape)
    field = x.along(axis)
    if field is None or call.shape[axis] == x.shape[axis]:
        return Value(call.shape, x.fields)
    if _is_every_nth(call, x, axis) and vector(field, axis) is not None:
        start, step = call.arg(2) or 0, call.args[4]
        rows = field.reshape(-1, step)
        coupling.join(rows, rows[:, :1])
        taken = field.take(range(start, x.shape[axis], step), axis)
        return Value(call.shape, (*(f for f in x.fields if f is not field), taken))
    coupling.pin(field, call.operator, "it takes a part at places fixed in the code")
    return Value(call.shape, tuple(f for f in x.fields if f is not field))


def index(coupling: Coupling, call: Call) -> Result:
    """Entries along one axis by number; the other axes keep their units."""
    x = call.args[0]
    numbers = call.args[1] if call.operator == "index" else [None] * (call.args[1] % len(x.shape)) + [call.args[2]]
    used = [place for place, number in enumerate(numbers) if number is not None]
    if len(used) != 1:
        return unknown(coupling, call, "several axes are indexed at once")
    axis, added = used[0], len(numbers[used[0]].shape)
    coupling.pin(x.along(axis), call.operator, "its entries are numbered in the data")
    fields = [field for field in x.fields if axis not in varying(field)]
    return Value(call.shape, tuple(f.reshape(f.shape[:axis] + (1,) * added + f.shape[axis + 1 :]) for f in fields))


def roll(coupling: Coupling, call: Call) -> Result:
    """Entries change places along axes without units."""
    x = call.args[0]
    for axis in call.arg(2, (), "dims") or range(len(x.shape)):
        coupling.pin(x.along(axis), call.operator, "it moves units from one place to another")
    return x


def flip(coupling: Coupling, call: Call) -> Result:
    """Axes in reverse: without some units, the others are still in reverse."""
    x = call.args[0]
    axes = tuple(axis % len(x.shape) for axis in call.arg(1, (), "dims"))
    return Value(call.shape, tuple(np.flip(field, axes) for field in x.fields))


def pad(coupling: Coupling, call: Call) -> Result:
    """Entries added at the ends of axes; those beside units stay, as the code counts them."""
    x, amounts = call.args[0], call.args[1]
    fields = list(x.fields)
    for number in range(len(amounts) // 2):
        axis = len(x.shape) - 1 - number
        before, after = amounts[2 * number : 2 * number + 2]
        field = x.along(axis)
        if field is None or (before, after) == (0, 0):
            continue
        if varying(field) != (axis,) or min(before, after) < 0:
            return unknown(coupling, call, "what is padded has units on several axes")
        ends = [_fixed(coupling, call, len(x.shape), axis, size) for size in (before, after)]
        fields[[f is field for f in fields].index(True)] = np.concatenate([ends[0], field, ends[1]], axis)
    return Value(call.shape, tuple(fields))


def pixel_shuffle(coupling: Coupling, call: Call) -> Result:
    """Channels [c · r²] become space: the r² channels that give one channel go together."""
    x, r = call.args
    axis = len(x.shape) - 3
    field = x.along(axis)
    rest = tuple(f for f in x.fields if f is not field)
    if field is None:
        return Value(call.shape, rest)
    grid = field.reshape(-1, r * r)
    coupling.join(grid, grid[:, :1])
    shape = [1] * len(x.shape)
    shape[axis] = -1
    return Value(call.shape, (*rest, grid[:, 0].reshape(shape)))


def pixel_unshuffle(coupling: Coupling, call: Call) -> Result:
    """Space becomes channels: each channel is one of r² that go together."""
    x, r = call.args
    fields = tuple(np.repeat(f, r * r, len(x.shape) - 3) if f.shape[-3] > 1 else f for f in x.fields)
    return Value(call.shape, fields)


def channel_shuffle(coupling: Coupling, call: Call) -> Result:
    """Channels [groups · n] in the order [n · groups]; every group must lose as many."""
    x, groups = call.args
    labels = vector(x.along(1), 1)
    if labels is None:
        return unknown(coupling, call, "units of several axes")
    grid = labels.reshape(groups, -1)
    coupling.join(grid, grid[:1])
    return Value(call.shape, (grid.T.reshape(1, -1, *[1] * (len(x.shape) - 2)),))


def getitem(coupling: Coupling, call: Call) -> Result:
    """One of several results."""
    values, place = call.args
    value: Value = values[place]
    return value


def _is_every_nth(call: Call, x: Value, axis: int) -> bool:
    """Whether a slice takes one of every n entries to the end, wherever the first n are."""
    start, end, step = call.arg(2) or 0, call.arg(3), call.arg(4, 1)
    if not all(isinstance(number, int) for number in (start, step)) or call.operator != "slice":
        return False
    reaches_end = end is None or (isinstance(end, int) and end >= x.shape[axis])
    return reaches_end and step > 1 and 0 <= start < step and x.shape[axis] % step == 0


def _pieces(coupling: Coupling, call: Call, x: Value, axis: int, sizes: list[int]) -> Result:
    field = x.along(axis)
    if field is not None and len(set(sizes)) > 1:
        coupling.pin(field, call.operator, "it is split at places fixed in the code")
        field = None
    if field is not None and len(sizes) > 1:
        coupling.grids.append(np.moveaxis(field, axis, -1).reshape(-1, sizes[0]))
    kept = tuple(f for f in x.fields if axis not in varying(f))
    ends = np.cumsum([0, *sizes])
    pieces: list[Any] = []
    for number, shape in enumerate(call.shapes):
        taken = () if field is None else (field.take(range(ends[number], ends[number + 1]), axis),)
        pieces.append(Value(shape, (*kept, *taken)))
    return pieces


def _selected(coupling: Coupling, call: Call, x: Value, axis: int, place: int) -> Value:
    fields: list[Labels] = []
    shape = tuple(size for number, size in enumerate(x.shape) if number != axis)
    for field in x.fields:
        if field.shape[axis] > 1 and len(varying(field)) == 1:
            coupling.pin(field, call.operator, "it takes one of them")
            continue
        if field.shape[axis] > 1:
            coupling.hold(field, axis, call.operator)
        fields.append(np.squeeze(field.take([place if field.shape[axis] > 1 else 0], axis), axis))
    return Value(shape, tuple(fields))


def _piece(coupling: Coupling, call: Call, value: Value, axis: int) -> Labels:
    field = value.along(axis)
    if field is not None and varying(field) == (axis,):
        return field
    coupling.pin(field, call.operator, "units of several axes are put side by side")
    return _fixed(coupling, call, len(value.shape), axis, value.shape[axis])


def _fixed(coupling: Coupling, call: Call, ndim: int, axis: int, size: int) -> Labels:
    """New labels for entries that are beside units, but cannot be cut."""
    shape = tuple(size if number == axis else 1 for number in range(ndim))
    fresh = coupling.fresh(shape, axis)
    coupling.pin(fresh, call.operator, "beside units, but none itself, such as zeros of a padding")
    return fresh


def _flat(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])
