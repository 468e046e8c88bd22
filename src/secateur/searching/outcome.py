"""What a search found: plain data, beside the recipe that makes the network."""

from dataclasses import dataclass, field
from typing import Literal

from secateur.recipe import Recipe

State = Literal["whole", "cut short", "refused"]


@dataclass(frozen=True)
class Tried:
    """One candidate: how it was made, what it costs, and how far from the original it is before any training.

    `distance` is the mean of the task's distance to the original's outputs, `quality` the metric in points, both on the
    rows that candidates are compared on; None where the candidate was `cut short` (worse than most at a quarter of
    the effort) or `refused`, for `reason`. `recovered` is the quality on all validation data after the whole line, of
    those that went so far.
    """

    number: int
    method: str
    temper: float
    slope: float
    bare: float
    own: bool
    layers: int
    state: State
    seconds: float
    parameters: int = 0
    macs: int = 0
    predicted_ms: float | None = None  # where the limit is one of latency
    distance: float | None = None
    quality: float | None = None
    recovered: float | None = None
    reason: str = ""
    counts: dict[str, int] = field(default_factory=dict)  # units that go, by site


@dataclass(frozen=True)
class Found:
    """The best recipe, everything that was tried on the way, and the original on the same terms.

    `chosen` is the number of the candidate that the recipe makes. `quality` is the original's on the rows that
    candidates are compared on, `parameters`, `macs` and, where the limit is one of latency, `milliseconds` what it
    costs. `notes` say what was left out, and why.
    """

    recipe: Recipe
    chosen: int
    tried: tuple[Tried, ...]
    metric: str
    quality: float | None
    parameters: int
    macs: int
    milliseconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def front(self) -> tuple[Tried, ...]:
        """The candidates that none beats in both distance and multiply-adds, from the cheapest on."""
        whole = sorted((one for one in self.tried if one.distance is not None), key=lambda one: one.macs)
        front: list[Tried] = []
        for one in sorted(whole, key=lambda one: (one.macs, one.distance)):
            if not front or one.distance < front[-1].distance:  # type: ignore[operator]
                front.append(one)
        return tuple(front)
