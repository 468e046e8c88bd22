"""Several processes that try cells, of which any may die: its cell is tried once more, the others go on."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from secateur.cli.cells.serving import serve
from secateur.cli.options import Given
from secateur.comparing import Tried
from secateur.comparison import Cell, Trial
from secateur.errors import CompressionError
from secateur.result import Measurement

TRIES = 2

Start = Callable[[], "Worker"]


@dataclass
class Worker:
    """A process, the end of its pipe, and the number of the cell that it tries, if it does."""

    process: BaseProcess
    pipe: Connection
    cell: int | None = None
    is_ready: bool = False


@dataclass
class Queue:
    """The cells that wait, and how often each was tried in vain."""

    cells: Sequence[Cell]
    waiting: deque[int]
    deaths: Counter[int] = field(default_factory=Counter)


def starter(given: Given, untouched: Measurement) -> Start:
    """What starts a process that opens the model and the data anew."""
    context = get_context("spawn")  # a fork would share locks of torch that nobody opens again

    def start() -> Worker:
        ours, theirs = context.Pipe()
        # no daemon, since those may not have loaders of data in processes of their own
        process = context.Process(target=serve, args=(given, untouched, theirs))
        process.start()
        theirs.close()  # so that ours ends when the process does
        return Worker(process, ours)

    return start


def tried(cells: Sequence[Cell], jobs: int, start: Start) -> Iterator[tuple[int, Tried]]:
    """Each cell's number with what became of it, as they finish; the processes end with the iterator.

    Raises:
        CompressionError: a process ended before it could try anything.
    """
    queue = Queue(cells, deque(range(len(cells))))
    workers = [start() for _ in range(min(jobs, len(cells)))]
    try:
        while workers:
            for pipe in wait([worker.pipe for worker in workers]):
                worker = next(one for one in workers if one.pipe is pipe)
                answer = _answer(worker)
                if answer is None:
                    workers.remove(worker)
                    yield from _buried(worker, queue)
                    if len(queue.waiting) > sum(not one.is_ready for one in workers):
                        workers.append(start())
                    continue
                if isinstance(answer, Tried) and worker.cell is not None:
                    yield worker.cell, answer
                if not _given_more(worker, queue):
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _answer(worker: Worker) -> Any:
    """What a process has sent; None where it has ended."""
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        return None


def _given_more(worker: Worker, queue: Queue) -> bool:
    """Whether there was another cell for a process; without, it is told to end."""
    worker.is_ready = True
    worker.cell = queue.waiting.popleft() if queue.waiting else None
    try:
        worker.pipe.send(None if worker.cell is None else queue.cells[worker.cell])
    except OSError:
        return worker.cell is not None  # it has ended: reading from it will say so
    if worker.cell is None:
        worker.process.join()
    return worker.cell is not None


def _buried(worker: Worker, queue: Queue) -> Iterator[tuple[int, Tried]]:
    """The cell of a process that has ended, where it was tried often enough; else it waits again, before all others."""
    code = worker.process.exitcode or 0
    end = f"was killed (signal {-code})" if code < 0 else f"ended (exit code {code})"
    if not worker.is_ready:
        raise CompressionError(
            f"a process {end} before it could try anything; see above why, or try all in one with --jobs 1."
        )
    if worker.cell is None:
        return
    queue.deaths[worker.cell] += 1
    if queue.deaths[worker.cell] < TRIES:
        queue.waiting.appendleft(worker.cell)
        return
    failure = f"its process {end}, {TRIES} times; where memory is short, fewer --jobs may do."
    yield worker.cell, Tried(Trial(queue.cells[worker.cell], failure=failure), is_final=False)
