"""What a comparison found: plain data, all of it JSON, from which its table and its page are made."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from secateur.result import TEST, Latency, Measurement, Step

FORMAT = 1


@dataclass(frozen=True)
class Cell:
    """One combination that is tried: a method under a budget, what follows the cut, and the recipe that says it all.

    `method` and `budget` are as tables show them. `seed` is None where nothing is random. A cell that cannot be made a
    recipe has its reason in `refusal`.
    """

    method: str
    budget: str
    compensate: str
    epochs: int
    seed: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""


@dataclass(frozen=True)
class Timing:
    """The latency of a network and that of the untouched one, timed in turns."""

    own: Latency
    untouched: Latency

    @property
    def share(self) -> float:
        """The latency as a share of the untouched network's."""
        return self.own.median_ms / self.untouched.median_ms


@dataclass(frozen=True)
class Trial:
    """What became of a cell: the figures after each step of the line, or why it failed.

    The last step has the test figures too. `widths` maps sites to their units before and after, `layers` says what
    became of layers. Networks of one `shape` are timed once. `seconds` are of the processor, on one thread.
    """

    cell: Cell
    key: str = ""
    steps: tuple[Step, ...] = ()
    widths: dict[str, tuple[int, int]] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    shape: str = ""
    timings: tuple[Timing, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def final(self) -> Measurement:
        """The network as it leaves; only where the cell did not fail."""
        return self.steps[-1].measurement


@dataclass(frozen=True)
class Spread:
    """The mean over seeds, and the standard deviation (of the sample; None where there is one value)."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Standing:
    """A method and what follows its cut, under one budget, over all seeds.

    `trials` are places in the comparison's trials; `failures` counts those of them that failed, whose figures are left
    out. `latency` is of a single row, as a share of the untouched network's.
    """

    method: str
    compensate: str
    epochs: int
    trials: tuple[int, ...]
    failures: int = 0
    quality: dict[str, Spread] = field(default_factory=dict)
    parameters: float | None = None
    macs: float | None = None
    latency: float | None = None


@dataclass(frozen=True)
class Ranking:
    """All that was tried under one budget, best first, failed last; and whether the first is ahead of the second.

    `p` is that of the test over seeds, where one could be made; `verdict` says it in words.
    """

    budget: str
    standings: tuple[Standing, ...]
    verdict: str
    p: float | None = None
    is_ahead: bool = False


@dataclass(frozen=True)
class Comparison:
    """Methods under budgets on one model and task, on equal terms.

    `metric` names the quality that decides, on validation data where there is any. `untouched` is the given network.
    """

    metric: str
    untouched: Measurement
    trials: tuple[Trial, ...]
    rankings: tuple[Ranking, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def decisive(self) -> str:
        """The figure that ranks: the metric on validation data, or on test data where there is no other."""
        return self.metric if self.metric in self.untouched.quality else TEST + self.metric


def to_json(comparison: Comparison) -> str:
    """The comparison as JSON text."""
    return json.dumps({"format": FORMAT, **asdict(comparison)}, indent=1)
