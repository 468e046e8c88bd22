"""Everything about one network, in one measurement."""

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import safetensors.torch
import torch
from torch import Tensor, nn

from secateur.counting import count
from secateur.errors import UnknownNameError
from secateur.inference import evaluating
from secateur.measurement.latency import measure_latency
from secateur.result import Measurement
from secateur.task import Split, Task
from secateur.tracing import trace


def measure(
    model: nn.Module,
    task: Task,
    *,
    split: Split = "validation",
    latency: bool = True,
    batch_sizes: Sequence[int] = (1, 32),
    threads: int = 1,
) -> Measurement:
    """What the model costs, and its quality on a split (empty where the task lacks the split).

    Tied parameters count once. `size_bytes` is the size of the weights as a safetensors file.

    Raises:
        ModelError: the model cannot be traced, so its multiply-adds cannot be counted.
        DataError: the task has no data to run the model on.
        SettingsError: the split, a batch size or the number of threads is out of range.
    """
    if split not in get_args(Split):
        raise UnknownNameError("split", split, get_args(Split))
    traceable = _with_example(task, split)
    counted = count(trace(model, traceable))
    sizes = batch_sizes if latency else ()
    return Measurement(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counted.macs,
        size_bytes=size_bytes(model),
        latency=tuple(measure_latency(model, traceable, size, threads=threads) for size in sizes),
        quality=_quality(model, task, split),
        uncounted=tuple(counted.uncounted),
        macs_by_operator=dict(counted.macs_by_operator),
        peak_activation_bytes=counted.peak_activation_bytes,
    )


def size_bytes(model: nn.Module) -> int:
    """The bytes of a safetensors file with the model's weights and buffers, what is tied stored once."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            # A clone, since the format refuses tensors that share memory, as the weights of a recurrent layer may.
            tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return len(safetensors.torch.save(tensors))


def _with_example(task: Task, split: Split) -> Task:
    """The task, with the measured split to take an example from where it has no other data."""
    if task.calibration is None and task.train is None:
        return replace(task, calibration=getattr(task, split))
    return task


def _quality(model: nn.Module, task: Task, split: Split) -> dict[str, float]:
    source = "train" if split == "calibration" and task.calibration is None else split  # as Task.batches does
    if getattr(task, source) is None:
        return {}
    with evaluating(model) as predict:
        return task.evaluate(split, predict)
