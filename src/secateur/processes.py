"""Several processes that do one work together: each does its share, and what they find is exchanged.

They are those of `accelerate launch` or `torchrun`. All read the same data in the same order; nobody talks to a process
that is not there, so that a single process does nothing of all this.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor

from secateur.errors import CompressionError, SettingsError

Found = TypeVar("Found")
Item = TypeVar("Item")

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # torchrun's, and those of MPI
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


class Interrupts:
    """Ctrl-C, noted until all processes can end together; a launcher repeats it, so it counts once."""

    def __init__(self) -> None:
        self.pressed = False
        self._is_over = False

    @property
    def wanted(self) -> bool:
        """Whether it was pressed, and nobody has ended for it yet."""
        return self.pressed and not self._is_over

    def note(self, *_: Any) -> None:
        """What a signal handler does: remember it, in place."""
        self.pressed = True

    def end(self) -> KeyboardInterrupt:
        """What to raise in all processes at one place, once."""
        self.pressed = self._is_over = True
        return KeyboardInterrupt()


@dataclass(frozen=True)
class Processes:
    """How many processes share a work, which of them this is, the device that it was given, and Ctrl-C."""

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    interrupts: Interrupts = field(default_factory=Interrupts, repr=False, compare=False)

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody else."""
        return self.size == 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, prints and looks at the clock."""
        return self.rank == 0

    def own(self, items: Iterable[Item]) -> Iterator[Item]:
        """Every n-th item, beginning with this process's."""
        return islice(items, self.rank, None, self.size)

    def part(self, length: int) -> slice:
        """The places of a row of things that are this process's."""
        return slice(length * self.rank // self.size, length * (self.rank + 1) // self.size)

    def each(self, work: Callable[[], Found]) -> list[Found]:
        """What a work finds in every process, in their order; tensors come to the CPU.

        What is refused in one process is refused in all of them, and Ctrl-C ends all of them here.

        Raises:
            CompressionError: the work is refused somewhere, or a process is gone.
        """
        return [work()] if self.is_alone else self._exchanged(work, tell=True)

    def jointly(self, work: Callable[[], Found]) -> Found:
        """What a work finds in this process; refused in one, it is refused in all.

        Raises:
            CompressionError: the work is refused somewhere, or a process is gone.
        """
        if self.is_alone:
            return work()
        own: list[Found] = []
        self._exchanged(lambda: own.append(work()), tell=False)
        return own[0]

    def from_main(self, work: Callable[[], Found]) -> Found:
        """What a work finds in the main process, the only one that does it.

        Raises:
            CompressionError: the work is refused there, or a process is gone.
        """
        found: Found = self.each(lambda: work() if self.is_main else None)[0]  # type: ignore[assignment]
        return found

    def agree(self, what: str, mark: str) -> None:
        """Refuse to go on with something that is not the same in all processes, by a mark of it.

        Raises:
            SettingsError: the marks differ; names what, and the processes.
        """
        self.check_same(what, self.each(lambda: mark))

    def check_same(self, what: str, marks: Sequence[str]) -> None:
        """Refuse marks of all processes that differ.

        Raises:
            SettingsError: they do; names what, and the processes.
        """
        others = [str(rank) for rank, other in enumerate(marks) if other != marks[0]]
        if others:
            raise SettingsError(
                f"{what} is not the same in all {self.size} processes: {', '.join(others)} differ from 0; build models "
                "and data alike in each, from the same files and seeds, and give all data to all of them."
            )

    def summed(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The sums over all processes of some tensors, whose shapes are the same in each; all get the same bits.

        Raises:
            CompressionError: a process is gone.
        """
        if self.is_alone or not values:
            return list(values)
        dtype = values[0].dtype
        for value in values:
            dtype = torch.promote_types(dtype, value.dtype)
        total = torch.cat([value.detach().to(dtype).flatten() for value in values])
        self._collect(lambda: torch.distributed.all_reduce(total))
        parts = total.split([value.numel() for value in values])
        return [part.reshape(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True)]

    def align_(self, values: Iterable[Tensor]) -> None:
        """Give every process the main one's tensors, in place.

        Raises:
            CompressionError: a process is gone.
        """
        for value in () if self.is_alone else (value for value in values if value.numel()):
            whole = value.detach().contiguous()
            raw = whole.reshape(-1).view(torch.uint8)  # since no backend knows all kinds of numbers
            self._collect(partial(torch.distributed.broadcast, raw, src=0))
            value.detach().copy_(whole)

    def _exchanged(self, work: Callable[[], Any], *, tell: bool) -> list[Any]:
        """What all processes found, once they know that none has refused."""
        error: CompressionError | None = None
        found = None
        try:
            found = work()
        except CompressionError as refused:
            error = refused
        except KeyboardInterrupt:  # of a library that has its own handler
            self.interrupts.note()
        told = None if error is None else (_kind(error), str(error))
        mine = (self.interrupts.wanted, told, moved(found, "cpu") if tell else None)
        everyone: list[Any] = [None] * self.size
        self._collect(lambda: torch.distributed.all_gather_object(everyone, mine))
        if any(stop for stop, _, _ in everyone):
            raise self.interrupts.end()
        if error is not None:
            raise error
        for rank, (_, refusal, _) in enumerate(everyone):
            if refusal is not None:
                kind, message = refusal
                raise kind(f"process {rank} of {self.size}: {message}")
        return [value for _, _, value in everyone]

    def _collect(self, exchange: Callable[[], object]) -> None:
        """Talk to the other processes; they may be gone."""
        try:
            exchange()
        except RuntimeError as error:  # of any backend
            raise CompressionError(
                f"process {self.rank} of {self.size}: another one ended, or cannot be reached; its own message says "
                "why (--debug shows those of all processes)."
            ) from error


ALONE = Processes()


def launched() -> tuple[int, int]:
    """This process's number and how many were launched together, by what the launcher says; 0 and 1 without one."""
    size, rank = (next((int(os.environ[n]) for n in names if os.environ.get(n)), -1) for names in (_SIZES, _RANKS))
    return (rank, size) if size > 1 and rank >= 0 else (0, 1)


@contextmanager
def joined(*, cpu: bool) -> Iterator[Processes]:
    """The processes that were launched together with this one; meanwhile Ctrl-C waits until all can end together.

    The group that they form stays joined, since joining twice may hang; `leave` ends it.
    """
    from accelerate import PartialState

    if not torch.distributed.is_available() or (launched()[1] == 1 and not torch.distributed.is_initialized()):
        yield ALONE
        return
    before = dict(PartialState._shared_state)
    state = PartialState(cpu=cpu or _is_for_cpu() or not torch.accelerator.is_available())
    device = torch.device(state.device)
    PartialState._shared_state.clear()
    PartialState._shared_state.update(before)
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        yield ALONE
        return
    found = Processes(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)
    with _noting(found.interrupts):
        yield found


def _is_for_cpu() -> bool:
    """Whether `accelerate launch --cpu`, or its configuration, says so."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def leave() -> None:
    """End the group of processes, if there is one: without it some backends end a process with an error."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _kind(error: CompressionError) -> type[CompressionError]:
    """The class of an error, or the nearest one above it that is made from a message."""
    return next(kind for kind in type(error).__mro__ if "__init__" not in vars(kind))


def moved(value: Any, device: torch.device | str) -> Any:
    """A value with all tensors in it on a device; looks into dicts, lists, tuples and dataclasses."""
    match value:
        case Tensor():
            return value.detach().to(device)
        case dict():
            return {key: moved(part, device) for key, part in value.items()}
        case list() | tuple():
            return type(value)(moved(part, device) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: moved(getattr(value, part.name), device) for part in fields(value)})
    return value


@contextmanager
def _noting(interrupts: Interrupts) -> Iterator[None]:
    """Ctrl-C is noted; where it is ignored, or signals cannot be handled, it is left as it is."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
