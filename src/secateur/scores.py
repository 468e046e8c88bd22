"""Scores, what a method is, and what it may watch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from secateur.sites import Sites
from secateur.stats import PairStatistic, PlaceStatistic, Statistic
from secateur.task import Task

Tap = Literal["pre", "post"]
Granularity = Literal["unit", "layer"]


@dataclass(frozen=True)
class Scores:
    """One float64 number per unit and site, or one per activation; higher is always more important.

    `comparable` says that scores of different sites are on one scale.
    """

    method: str
    values: Mapping[str, Float[Tensor, " units"]]
    comparable: bool = False


@dataclass(frozen=True)
class Reads:
    """Rows of units' outputs, as the first layer that reads a site sees them; seen is the statistic of every site."""

    empty: Callable[[], Statistic]


@dataclass(frozen=True)
class Maps:
    """A number for every map, where each layer puts it out; seen are moments over examples, for each such layer.

    `measure` takes maps [examples, units, height, width] and gives [examples, units]. The tap is the layer's own output
    (`pre`), or what its norm and its activation make of that (`post`).
    """

    measure: Callable[[Tensor], Tensor]
    tap: Tap = "post"


@dataclass(frozen=True)
class Points:
    """A point for every example, where each layer puts units out; seen are clouds of them, for each such layer.

    `measure` takes maps [examples, units, tokens, 1] and which tokens are no padding [examples, tokens], where that is
    known, and gives [examples, units, dims].
    """

    measure: Callable[[Tensor, Tensor | None], Tensor]
    tap: Tap = "post"


@dataclass(frozen=True)
class Entering:
    """What every activation reads, at all positions and tokens; seen is a statistic of each.

    Padding of texts is left out.
    """

    empty: Callable[[], PlaceStatistic]


@dataclass(frozen=True)
class Rectified:
    """What every activation reads and what it gives, at all positions and tokens; seen is a statistic of each.

    Padding of texts is left out.
    """

    empty: Callable[[], PairStatistic]


@dataclass(frozen=True)
class Blocks:
    """What goes into the residual block around every activation and what comes out; seen is a statistic of each.

    Of activations in no residual block nothing is seen. Padding of texts is left out.
    """

    empty: Callable[[], PairStatistic]


@dataclass(frozen=True)
class Gates:
    """The slope of each example's loss in a gate on each unit; seen are moments of `measure` of it, over examples.

    A gate multiplies a unit's output wherever it is read. At 1 the slope is the sum, over positions and readers, of
    output times gradient: what the loss loses, to first order, when the unit is silenced. The task's loss has to be a
    mean over the rows of a batch.
    """

    measure: Callable[[Tensor], Tensor]


Look = Reads | Maps | Points | Entering | Rectified | Blocks | Gates


@runtime_checkable
class Method(Protocol):
    """A way to score units, or layers. Its fields are its settings.

    `name` is the file's name, `granularity` what it scores: `unit` (units of sites, as `find_sites` gives them) or
    `layer` (activations, as `find_layers` gives them). `score` looks at the model, and at the task's calibration
    data where it needs any; it leaves both exactly as found, is repeatable to the bit, and does not depend on how the
    data is batched.
    """

    @property
    def name(self) -> str: ...

    @property
    def granularity(self) -> Granularity: ...

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores: ...


@runtime_checkable
class Observing(Method, Protocol):
    """A method that watches units: several of them can share one pass over the data.

    `watches` says what it watches (equal for methods that can share it); `judge` turns what was seen at every site into
    scores.
    """

    @property
    def watches(self) -> Look: ...

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Any]) -> Scores: ...


@runtime_checkable
class Masking(Method, Protocol):
    """A method of layers that says as well how much every unit of an activation changes sides.

    By that, `masking.mask` makes weights zero.
    """

    def entropies(self, model: nn.Module, sites: Sites, task: Task) -> Scores: ...


@runtime_checkable
class Trying(Method, Protocol):
    """A method that looks at data in passes of its own."""

    @property
    def needs_data(self) -> bool: ...
