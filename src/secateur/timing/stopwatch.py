"""How long a call takes, told in calls of a reference that is timed in turns with it.

A machine that others use too is now fast, now slow, for seconds on end: what two calls take, one after the other, says
less about them than about the machine; what they take in turns does not.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Work = Callable[[], Any]

_GROUP_NS = 100_000  # calls shorter than this are timed several together
_BUDGET_NS = 4_000_000  # as long as one call is timed, turns of the reference left out
_LEAST, _MOST = 5, 20  # readings
_FREED = 7 * 1024 * 1024  # floats; the C library keeps blocks of up to 32 MiB
_ROWS, _WIDTH = 64, 256  # of the reference: 4 million multiply-adds


@dataclass(frozen=True)
class Stopwatch:
    """Times calls on a device with some threads; torch has to use as many."""

    device: torch.device
    threads: int
    reference: Work = field(repr=False)

    def time(self, work: Work) -> float:
        """How many calls of the reference take as long as one of the work, when little disturbs them: quartiles."""
        work()
        once = max(self._nanoseconds(work, 1), 1)
        calls = max(1, _GROUP_NS // once)
        readings = min(max(_BUDGET_NS // (once * calls), _LEAST), _MOST)
        beside, taken = [self._nanoseconds(self.reference, 1)], []
        for _ in range(readings):
            taken.append(self._nanoseconds(work, calls) / calls)
            beside.append(self._nanoseconds(self.reference, 1))
        return _quiet(taken) / _quiet(beside)

    def _nanoseconds(self, work: Work, calls: int) -> int:
        start = self._now()
        for _ in range(calls):
            work()
        return self._now() - start

    def _now(self) -> int:
        """Nanoseconds of the processor where it works alone, so that waiting for others does not count."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        elif self.threads == 1:
            return time.thread_time_ns()
        return time.perf_counter_ns()


def _quiet(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=4, method="inclusive")[0]


def stopwatch_on(device: torch.device, threads: int) -> Stopwatch:
    """A stopwatch whose reference is a product of two matrices."""
    torch.ones(_FREED, device=device)  # once freed, as much memory is kept for the next who asks, as in a long run
    left, right = torch.ones(_ROWS, _WIDTH, device=device), torch.ones(_WIDTH, _WIDTH, device=device)
    return Stopwatch(device, threads, lambda: torch.mm(left, right))
