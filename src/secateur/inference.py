"""The one way to run a model without training it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

Predict = Callable[[tuple[tuple[Any, ...], dict[str, Any]]], Any]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[Predict]:
    """A function from arguments to output, on the model's device; afterwards modes and buffers are as they were."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(module, *named) for module in modes for named in module.named_buffers(recurse=False)]
    values = [buffer.clone() for _, _, buffer in buffers]
    device = device_of(model)
    model.eval()
    try:
        with torch.no_grad():
            yield lambda arguments: _call(model, arguments, device)
    finally:
        for module, mode in modes.items():
            module.training = mode
        for (module, name, buffer), value in zip(buffers, values, strict=True):
            module._buffers[name] = buffer
            if not torch.equal(buffer, value):
                buffer.copy_(value)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter or buffer lives; the CPU for a model without any."""
    for tensor in chain(model.parameters(), model.buffers()):
        return tensor.device
    return torch.device("cpu")


def moved(value: Any, device: torch.device) -> Any:
    """A tensor on the device; anything else as it is."""
    return value.to(device) if isinstance(value, Tensor) else value


def batch_on(batch: Any, device: torch.device) -> Any:
    """A batch with its tensors on the device, targets too, so that a loss finds them beside the model's output."""
    from accelerate.utils import send_to_device

    return send_to_device(batch, device)


def _call(model: nn.Module, arguments: tuple[tuple[Any, ...], dict[str, Any]], device: torch.device) -> Any:
    args, kwargs = arguments
    return model(*(moved(a, device) for a in args), **{k: moved(v, device) for k, v in kwargs.items()})
