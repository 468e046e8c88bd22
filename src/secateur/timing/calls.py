"""The operator calls that a network makes, told by shapes, kinds and layouts of what they read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from secateur.inference import evaluating
from secateur.measurement.latency import of_size
from secateur.task import Arguments

_SMALL = (2, 3)  # rows: two runs say how every size follows from the number of rows
_DIRECT = 4  # rows up to which a run of just so many is as quick


@dataclass(frozen=True)
class Shape:
    """A tensor without values: its sizes, its kind, and its axes from the one with the largest stride on.

    Axes in `expanded` repeat one entry.
    """

    sizes: tuple[int, ...]
    dtype: torch.dtype
    order: tuple[int, ...]
    expanded: tuple[int, ...] = ()

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        laid = "" if self.order == tuple(range(len(self.order))) else f" as {_listed(self.order)}"
        repeated = f" repeats {_listed(self.expanded)}" if self.expanded else ""
        return f"{kind}[{_listed(self.sizes)}]{laid}{repeated}"


@dataclass(frozen=True)
class Call:
    """One call of an operator; where it reads tensors, `args` and `kwargs` hold a `Shape`."""

    target: OpOverload
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What the call's time depends on, as text; of what only looks at its input in another way, just the name."""
        if self.is_view:
            return str(self.target)
        written = [_written(value) for value in self.args]
        return f"{self.target}({', '.join([*written, *(f'{k}={_written(v)}' for k, v in self.kwargs.items())])})"

    @property
    def is_view(self) -> bool:
        """Whether it moves no data."""
        aliases = [each.alias_info for each in self.target._schema.returns]
        return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def calls_of(model: nn.Module, arguments: Arguments, batch_size: int) -> tuple[Call, ...]:
    """Every operator call of a run on so many rows, in order.

    Large batches are not run: two small ones say how each size follows from the number of rows, as long as both
    make the same calls.
    """
    if batch_size > _DIRECT:
        two, three = (_run(model, of_size(arguments, rows)) for rows in _SMALL)
        found = _scaled(two, three, batch_size)
        if found is not None:
            return found
    return _run(model, of_size(arguments, batch_size))


def shape_of(tensor: Tensor) -> Shape:
    """A tensor without its values."""
    strides = tensor.stride()
    expanded = tuple(axis for axis, size in enumerate(tensor.shape) if size > 1 and strides[axis] == 0)
    order = tuple(sorted(range(tensor.dim()), key=lambda axis: (-strides[axis], axis)))
    return Shape(tuple(tensor.shape), tensor.dtype, order, expanded)


class _Recorder(TorchDispatchMode):
    """Writes down every call beneath autograd."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The call's own result."""
        del types
        given = kwargs or {}
        self.calls.append(Call(func, _shapes(args), _shapes(given)))
        return func(*args, **given)


def _run(model: nn.Module, arguments: Arguments) -> tuple[Call, ...]:
    with evaluating(model) as predict, _Recorder() as recorder:
        predict(arguments)
    return tuple(recorder.calls)


def _shapes(values: Any) -> Any:
    return pytree.tree_map(lambda value: shape_of(value) if isinstance(value, Tensor) else value, values)


def _scaled(two: tuple[Call, ...], three: tuple[Call, ...], rows: int) -> tuple[Call, ...] | None:
    """The calls on so many rows, from those on two and on three; None where these are not the same calls."""
    if [call.target for call in two] != [call.target for call in three]:
        return None
    found = []
    for first, second in zip(two, three, strict=True):
        leaves, structure = pytree.tree_flatten((first.args, dict(first.kwargs)))
        others, other_structure = pytree.tree_flatten((second.args, dict(second.kwargs)))
        if structure != other_structure:
            return None
        values = [_on(a, b, rows) for a, b in zip(leaves, others, strict=True)]
        found.append(Call(first.target, *pytree.tree_unflatten(values, structure)))
    return tuple(found)


def _on(two: Any, three: Any, rows: int) -> Any:
    """A value on so many rows, from those on two and on three."""
    match two, three:
        case Shape(), Shape():
            sizes = tuple(_on(a, b, rows) for a, b in zip(two.sizes, three.sizes, strict=True))
            return Shape(sizes, two.dtype, two.order, two.expanded)
        case int(), int() if not isinstance(two, bool):
            return two + (three - two) * (rows - _SMALL[0])
    return two


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _written(value: Any) -> str:
    match value:
        case list() | tuple():
            return f"[{', '.join(_written(one) for one in value)}]"
        case float():
            return f"{value:.6g}"
    return str(value)
