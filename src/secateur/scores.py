"""Scores, and what a method is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from secateur.sites import Sites
from secateur.stats import Statistic
from secateur.task import Task


@dataclass(frozen=True)
class Scores:
    """One float64 number per unit and site; higher is always more important.

    `comparable` says that scores of different sites are on one scale.
    """

    method: str
    values: Mapping[str, Float[Tensor, " units"]]
    comparable: bool = False


@runtime_checkable
class Method(Protocol):
    """A way to score units. Its fields are its settings.

    `name` is the file's name. `score` looks at the model, and at the task's calibration data where it needs any; it
    leaves both exactly as found, is repeatable to the bit, and does not depend on how the data is batched.
    """

    @property
    def name(self) -> str: ...

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores: ...


@runtime_checkable
class Observing(Method, Protocol):
    """A method that watches units' outputs: several of them can share one pass over the data.

    `watches` gives what it watches, before anything was seen (equal for methods that can share it); `judge` turns what
    was seen at every site into scores.
    """

    @property
    def watches(self) -> Callable[[], Statistic]: ...

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Any]) -> Scores: ...
