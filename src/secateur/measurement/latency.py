"""How long one call of a network takes."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from secateur.errors import DataError, SettingsError
from secateur.inference import device_of, evaluating, moved
from secateur.result import Latency
from secateur.task import Arguments, tensors_in
from secateur.tracing import Example, arguments_of_example

Call = Callable[[], Any]
Clock = Callable[[], float]

_SECONDS = 0.3  # how long each network is timed
_WARM_UP = 3  # rounds before the clock counts, in which kernels are chosen and memory is taken
_LEAST, _MOST = 3, 10_000  # calls timed


def measure_latency(model: nn.Module, example: Example, batch_size: int = 1, *, threads: int = 1) -> Latency:
    """How long one call of the model takes, from about 0.3 s of calls; see `compare_latency`."""
    return compare_latency([model], example, batch_size, threads=threads)[0]


def compare_latency(
    models: Sequence[nn.Module], example: Example, batch_size: int = 1, *, threads: int = 1
) -> tuple[Latency, ...]:
    """How long one call of each model takes, in turns, so that what slows the machine slows all of them.

    The example's rows are repeated up to the batch size. Threads are torch's, put back afterwards.

    Raises:
        SettingsError: the batch size or the number of threads is below 1.
        DataError: the example has no rows.
    """
    check_positive(batch_size=batch_size, threads=threads)
    arguments = of_size(arguments_of_example(example), batch_size)
    return timed_in_turns([(model, arguments) for model in models], batch_size, threads)


def timed_in_turns(calls: Sequence[tuple[nn.Module, Arguments]], batch_size: int, threads: int) -> tuple[Latency, ...]:
    """How long each model takes for its own arguments, of so many rows, in turns."""
    with using_threads(threads), ExitStack() as evaluated:
        for model, _ in calls:
            evaluated.enter_context(evaluating(model))
        clocks = [_clock(model, arguments) for model, arguments in calls]
        return tuple(latency_of(times, batch_size, threads) for times in in_turns(clocks))


def check_positive(**numbers: int) -> None:
    """Refuse numbers below 1.

    Raises:
        SettingsError: one of them is; the message names it.
    """
    for name, number in numbers.items():
        if number < 1:
            raise SettingsError(f"{name}: {number} is out of range; give a whole number from 1 up.")


def of_size(arguments: Arguments, batch_size: int) -> Arguments:
    """The arguments with their rows repeated, or cut, to the batch size.

    Rows are the first axis of the first tensor, and of all tensors as long.

    Raises:
        DataError: there are no rows to repeat.
    """
    lengths = [len(tensor) for tensor in tensors_in(arguments) if tensor.dim()]
    if not lengths:
        return arguments
    if lengths[0] == 0:
        raise DataError("the example has no rows; give at least one.")
    rows = torch.arange(batch_size) % lengths[0]

    def resized(value: Any) -> Any:
        has_rows = isinstance(value, Tensor) and value.dim() and len(value) == lengths[0]
        return value[rows.to(value.device)] if has_rows else value  # in the memory format that it has

    found: Arguments = pytree.tree_map(resized, arguments)
    return found


def in_turns(clocks: Sequence[Clock]) -> list[list[float]]:
    """What every clock shows, round by round; every other round goes backwards, so that none is always first."""
    _warm_up(clocks)
    times: list[list[float]] = [[] for _ in clocks]
    end = time.perf_counter() + _SECONDS * len(clocks)
    for number in range(_MOST):
        if number >= _LEAST and time.perf_counter() > end:
            break
        order = range(len(clocks)) if number % 2 == 0 else range(len(clocks) - 1, -1, -1)
        for index in order:
            times[index].append(clocks[index]())
    return times


def latency_of(times_ms: Sequence[float], batch_size: int, threads: int) -> Latency:
    """Median and interquartile range of some times."""
    lower, median, upper = statistics.quantiles(times_ms, n=4, method="inclusive")
    return Latency(median, upper - lower, batch_size, threads, len(times_ms))


def milliseconds(call: Call) -> float:
    """How long a call takes, by the wall clock."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def _warm_up(clocks: Sequence[Clock]) -> None:
    end = time.perf_counter() + _SECONDS * len(clocks)
    for _ in range(_WARM_UP):
        for clock in clocks:
            clock()
        if time.perf_counter() > end:  # slow calls are warm after one
            return


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Torch with so many threads; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(model: nn.Module, arguments: Arguments) -> Clock:
    """A function that calls the model once and gives the milliseconds."""
    device = device_of(model)
    args, kwargs = pytree.tree_map(lambda value: moved(value, device), arguments)

    def call() -> Any:
        return model(*args, **kwargs)

    def finished() -> None:
        call()
        torch.accelerator.synchronize(device)

    match device.type:
        case "cpu":
            return lambda: milliseconds(call)
        case "cuda":
            return lambda: _cuda_milliseconds(call, device)
    return lambda: milliseconds(finished)


def _cuda_milliseconds(call: Call, device: torch.device) -> float:
    """How long a call takes, by the GPU's own clock."""
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end))
