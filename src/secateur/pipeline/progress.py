"""How far a run has come, and what stays the same in it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from secateur.pipeline.clocks import Clocks
from secateur.plan import Plan
from secateur.recipe import Recipe
from secateur.result import Event, Fold, Halves, Round, SiteScores, Step
from secateur.task import Task

Watch = Callable[[Event], None] | None


@dataclass(frozen=True)
class Run:
    """What is the same in every round."""

    original: nn.Module
    task: Task
    recipe: Recipe
    watch: Watch
    clocks: Clocks = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """A network after one round's cuts and compensation: before and after the latter."""

    cut: nn.Module
    mended: nn.Module
    plan: Plan
    scores: tuple[SiteScores, ...]
    folds: tuple[Fold, ...]
    halves: tuple[Halves, ...] = ()
    repairing: float = 0.0  # seconds

    @property
    def removes(self) -> bool:
        """Whether anything goes."""
        return bool(self.plan.removed or self.plan.layers)


@dataclass(frozen=True)
class Place:
    """The stage that a run is in, the part of it that comes next (both from 0), and the rounds it has done so far."""

    stage: int = 0
    part: int = 0
    rounds: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a run has come: the network, all rounds in one plan, what was found on the way, and where to go on.

    `is_over` says that nothing more is to come: a round was not kept, was interrupted, or had nothing left to remove.
    """

    model: nn.Module
    plan: Plan
    steps: tuple[Step, ...]
    rounds: tuple[Round, ...] = ()
    notes: tuple[str, ...] = ()
    place: Place = Place()
    is_over: bool = False
