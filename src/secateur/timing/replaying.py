"""An operator call made again, on tensors of ones."""

from collections.abc import Callable
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from secateur.timing.calls import Call, Shape


def work_of(call: Call, device: torch.device) -> Callable[[], Any]:
    """A function that makes a call on a device; its inputs, all ones (indices zero), are the same every time."""
    args, kwargs = pytree.tree_map(lambda value: _filled(value, device), (call.args, dict(call.kwargs)))
    target = call.target
    return lambda: target(*args, **kwargs)


def _filled(value: Any, device: torch.device) -> Any:
    return _tensor(value, device) if isinstance(value, Shape) else value


def _tensor(shape: Shape, device: torch.device) -> Tensor:
    """A tensor of a shape, laid out in memory in its order."""
    sizes = [1 if axis in shape.expanded else size for axis, size in enumerate(shape.sizes)]
    laid = [sizes[axis] for axis in shape.order]
    is_index = not (shape.dtype.is_floating_point or shape.dtype.is_complex or shape.dtype == torch.bool)
    whole = torch.zeros(laid, dtype=shape.dtype, device=device)
    whole = whole if is_index else whole.fill_(1)
    back = [shape.order.index(axis) for axis in range(len(laid))]
    return whole.permute(back).expand(shape.sizes)
