"""A step of training that several processes share: each takes a part of every batch, and the parts are one batch again.

The gradients are added up, batch norms take their statistics over all parts, and what is drawn at random (dropout) is
each process's own. So the network that comes out is that of one process, up to rounding, where nothing is drawn.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.processes import Processes
from secateur.task import Arguments, Batch, rows_in

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
ONE_VALUE = "Expected more than 1 value per channel when training"  # how torch's batch norms refuse one row


@dataclass(frozen=True)
class Part:
    """What a process computes of a batch, and the share of the batch's loss that it is; the whole, if it `is_whole`."""

    batch: Batch
    share: float
    is_whole: bool


def part_of(batch: Batch, arguments: Arguments, processes: Processes) -> Part:
    """This process's rows of a batch; all of them, in every process, where there are fewer rows than processes."""
    rows = rows_in(arguments)
    if rows < processes.size:
        return Part(batch, 1.0 / processes.size, is_whole=True)
    places = processes.part(rows)

    share = (places.stop - places.start) / rows
    return Part(_rows_of(batch, rows, places), share, is_whole=False)


def _rows_of(value: Any, rows: int, places: slice) -> Any:
    """Some of the rows of everything in a batch that has as many as it."""
    if _is_of_rows(value, rows):
        return value[places]
    match value:
        case Mapping():
            return type(value)({key: _rows_of(part, rows, places) for key, part in value.items()})  # type: ignore[call-arg]
        case list() | tuple():
            parts = [_rows_of(part, rows, places) for part in value]
            return parts if isinstance(value, list) else _tuple_like(value, parts)
    return value


def _tuple_like(value: tuple[Any, ...], parts: list[Any]) -> tuple[Any, ...]:
    """The parts as a tuple, a named one where the value is."""
    make = getattr(type(value), "_make", tuple)
    found: tuple[Any, ...] = make(parts)
    return found


def _is_of_rows(value: Any, rows: int) -> bool:
    """Whether a value holds something for each row: a tensor, or a list of what are no tensors."""
    if isinstance(value, Tensor):
        return value.dim() > 0 and len(value) == rows
    return isinstance(value, list) and len(value) == rows and not any(isinstance(part, Tensor) for part in value)


@contextmanager
def own_randomness(processes: Processes, device: torch.device, marks: Sequence[int]) -> Iterator[None]:
    """Random numbers of this process's own, from some marks; afterwards those that all share go on."""
    if processes.is_alone:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(random.Random(str([*marks, processes.rank])).getrandbits(63))
        yield


@contextmanager
def joint_norms(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Batch norms that train take their statistics over the parts of all processes."""
    owners = [
        (owner, name, norm)
        for owner in list(model.modules())
        for name, norm in owner.named_children()
        if isinstance(norm, BATCH_NORMS) and norm.training
    ]
    for owner, name, norm in owners:
        setattr(owner, name, JointNorm(norm, processes))
    try:
        yield
    finally:
        for owner, name, norm in owners:
            setattr(owner, name, norm)


class JointNorm(nn.Module):
    """A batch norm in training whose batch lies in parts in several processes; it changes the norm's statistics."""

    def __init__(self, norm: nn.Module, processes: Processes):
        super().__init__()
        self.norm = norm
        self.processes = processes

    def forward(self, x: Tensor) -> Tensor:
        """What the norm would put out for the part, had it seen the whole batch."""
        norm: Any = self.norm
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        over = [axis for axis in range(x.dim()) if axis != 1]
        counts, means, variances = self._of_all(exact.mean(over), exact.var(over, unbiased=False), x[:, 0].numel())
        shares = counts / counts.sum()
        mean = shares @ means
        variance = shares @ (variances + (means - mean).square())
        _follow_(norm, mean.detach(), variance.detach(), float(counts.sum()))
        weight, bias = (None if part is None else part.to(exact.dtype) for part in (norm.weight, norm.bias))
        shape = (-1, *[1] * (x.dim() - 2))
        scaled = (exact - mean.view(shape)) * (variance + norm.eps).rsqrt().view(shape)
        if weight is not None:
            scaled = scaled * weight.view(shape)
        return (scaled if bias is None else scaled + bias.view(shape)).to(x.dtype)

    def _of_all(self, mean: Tensor, variance: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Count, means and variances of the parts in all processes, a row for each.

        Raises:
            ValueError: there is one value per channel, in torch's words.
        """
        units = len(mean)
        own = torch.cat([mean, variance, mean.new_tensor([float(count)])])
        places = F.pad(own[None], (0, 0, self.processes.rank, self.processes.size - 1 - self.processes.rank))
        found = _summed(places, self.processes)
        counts = found[:, -1].detach()
        if int(counts.sum()) == 1:
            raise ValueError(f"{ONE_VALUE}, got {count} in this process")
        return counts, found[:, :units], found[:, units:-1]


def _summed(own: Tensor, processes: Processes) -> Tensor:
    """The sum over all processes; what it does to the losses of all of them is added up for the gradient."""
    others = processes.summed([own])[0] - own.detach()
    if own.requires_grad:
        own.register_hook(lambda gradient: processes.summed([gradient])[0])
    return own + others


def _follow_(norm: Any, mean: Tensor, variance: Tensor, count: float) -> None:
    """Let a batch norm's running statistics follow a batch, in place, as torch does."""
    if norm.running_mean is None:
        return
    norm.num_batches_tracked.add_(1)
    rate = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    with torch.no_grad():
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), rate)
        norm.running_var.lerp_((variance * (count / (count - 1.0))).to(norm.running_var.dtype), rate)
