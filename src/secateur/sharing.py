"""A task whose work is shared by all processes that were launched together; each reads all of the data."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from secateur.errors import DataError
from secateur.processes import joined
from secateur.task import Split, Task


@contextmanager
def shared(task: Task, device: torch.device) -> Iterator[Task]:
    """The task, its work shared by the processes that were launched together with this one, if it is not already.

    Raises:
        DataError: a split gives each process other data.
    """
    if not task.processes.is_alone:
        yield task
        return
    with joined(cpu=device.type == "cpu") as processes:
        if not processes.is_alone:
            _check_whole(task)
        yield replace(task, processes=processes)


def check_alike(model: nn.Module, task: Task) -> None:
    """Refuse models that are not the same in all of a task's processes, such as ones of unseeded random weights.

    Raises:
        SettingsError: they differ; names the processes.
    """
    if not task.processes.is_alone:
        task.processes.agree(f"the model ({type(model).__name__})", checksum(model))


def checksum(model: nn.Module) -> str:
    """A checksum of all tensors of a model, with their names."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _check_whole(task: Task) -> None:
    """Refuse loaders that give each process a part of the data."""
    from accelerate.data_loader import BatchSamplerShard, DataLoaderDispatcher, IterableDatasetShard

    parts = (BatchSamplerShard, DataLoaderDispatcher, IterableDatasetShard, DistributedSampler)
    for split in get_args(Split):
        source = getattr(task, split)
        if isinstance(source, DataLoader) and any(
            isinstance(part, parts) for part in (source, source.dataset, source.sampler, source.batch_sampler)
        ):
            raise DataError(
                f"{split}: its loader gives every process other rows; give a plain DataLoader with all of them, since "
                "the processes share each batch."
            )
