"""What operators cost, so that nothing is merged that costs more afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from secateur.measurement.latency import check_positive, timed_in_turns
from secateur.task import Arguments


@dataclass(frozen=True)
class Candidate:
    """An operator that could stand in the network: how it is made, the shape of one row for it, its multiply-adds."""

    make: Callable[[], nn.Module] = field(repr=False)
    shape: tuple[int, ...]
    macs: float


Worth = Callable[[Sequence[Candidate]], Sequence[float]]  # what each candidate costs, in a unit of one's own choice


def fewer_macs(candidates: Sequence[Candidate]) -> Sequence[float]:
    """The multiply-adds of every candidate, for one row: merges are made that do not take more."""
    return [candidate.macs for candidate in candidates]


def always(candidates: Sequence[Candidate]) -> Sequence[float]:
    """Nothing for every candidate: whatever can be merged is."""
    return [0.0] * len(candidates)


@dataclass(frozen=True)
class Measured:
    """The milliseconds that every candidate takes here, in turns, on as many rows and torch threads.

    Raises:
        SettingsError: a number is below 1.
    """

    rows: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        check_positive(rows=self.rows, threads=self.threads)

    def __call__(self, candidates: Sequence[Candidate]) -> Sequence[float]:
        """The median of some calls of each."""
        modules = [candidate.make() for candidate in candidates]
        calls: list[tuple[nn.Module, Arguments]] = [
            (module, ((self._input(module, candidate.shape),), {}))
            for module, candidate in zip(modules, candidates, strict=True)
        ]
        return [latency.median_ms for latency in timed_in_turns(calls, self.rows, self.threads)]

    def _input(self, module: nn.Module, shape: tuple[int, ...]) -> Tensor:
        """Noise, always the same, as a module reads it."""
        noise = torch.randn(self.rows, *shape, generator=torch.Generator().manual_seed(0))
        tensor = next(module.parameters(), noise)
        return noise.to(tensor.device, tensor.dtype)
