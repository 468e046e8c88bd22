"""One candidate: from its place in the space to a network, and to the recipe that makes it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from secateur import methods
from secateur.budget import Cost, Count, Latency, Macs, Params, cost, select
from secateur.compensation import repair
from secateur.errors import CompressionError
from secateur.plan import Plan
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery
from secateur.searching.allocation import Shape, prices, spread
from secateur.searching.bench import Base, Bench, Judged
from secateur.searching.goal import Goal, Limit
from secateur.searching.outcome import State, Tried
from secateur.searching.sensitivity import Curve
from secateur.surgery import apply
from secateur.timing import Clock, clock_for

HALVINGS = 5  # of the way to what can be had
QUARTER = 4  # of the effort: what shows which candidates are not worth the rest

GoOn = Callable[[float], bool]


@dataclass(frozen=True)
class Candidate:
    """A method, how its cuts are spread, how many stretches are collapsed first, and what may be left."""

    method: str
    shape: Shape
    limit: Limit
    layers: int = 0


@dataclass(frozen=True)
class Style:
    """What is the same in all stages of a recipe: which sites stay, what their widths are multiples of, training."""

    protect: tuple[str, ...] = ()
    multiple_of: int = 1
    recovery: Recovery | None = None


@dataclass
class Workshop:
    """Makes candidates; keeps what several of them need: collapsed networks, curves, prices."""

    bench: Bench
    style: Style
    clock: Clock | None = None  # of the original, where a limit is one of latency
    _prices: dict[tuple[int, type], Mapping[str, float]] = field(default_factory=dict)
    _bases: dict[int, Base] = field(default_factory=dict)
    _curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def whole(self) -> Cost:
        """What the original costs."""
        return cost(self.bench.base.sites, {})

    def base(self, layers: int) -> Base:
        """The network without so many stretches."""
        if layers not in self._bases:
            self._bases[layers] = self.bench.without(layers)
        return self._bases[layers]

    def profile(self, method: str) -> Mapping[str, Curve]:
        """The sites' curves, measured once, in the order of the first method that asks."""
        if not self._curves:
            self._curves.update(self.bench.curves(method))
        return self._curves

    def planned(self, candidate: Candidate) -> Plan:
        """What a candidate cuts.

        Raises:
            BudgetError: its limit cannot be met.
        """
        base = self.base(candidate.layers)
        sites = base.sites
        shape = candidate.shape
        curves = self.profile(candidate.method) if shape != Shape() and not shape.own else {}
        known = {name: curve for name, curve in curves.items() if name in sites.names}
        free = replace(sites, sites=tuple(site for site in sites if not curves or site.name in known))
        price = self._price(candidate) if curves else {}
        clock = self._clock(candidate)
        scores = spread(base.scores[candidate.method], free, shape, known, price)
        stay = {*sites.matching(self.style.protect), *(set(sites.names) - set(free.names))}
        limit = _absolute(candidate.limit, self.whole, clock)
        return select(scores, sites, limit, protect=tuple(stay), multiple_of=self.style.multiple_of, clock=clock)

    def _clock(self, candidate: Candidate) -> Clock | None:
        """Predicts the network that a candidate is cut from; None where the limit is none of latency."""
        if self.clock is None or not isinstance(candidate.limit, Latency):
            return None
        return self.clock.on(self.base(candidate.layers).model)

    def _price(self, candidate: Candidate) -> Mapping[str, float]:
        key = (candidate.layers, type(candidate.limit))
        if key not in self._prices:
            self._prices[key] = prices(self.base(candidate.layers).sites, candidate.limit, self._clock(candidate))
        return self._prices[key]

    def have_clock(self, limit: Limit | None) -> None:
        """Time the original for a limit of latency, if it was not timed on as many rows and threads before."""
        if not isinstance(limit, Latency):
            return
        if self.clock is None or (self.clock.batch_size, self.clock.threads) != (limit.batch_size, limit.threads):
            self.clock = clock_for(self.bench.base.model, self.bench.task, limit.batch_size, limit.threads)
            self._prices.clear()

    def tried(self, candidate: Candidate, number: int, go_on: GoOn = lambda _: True) -> Tried:
        """What becomes of a candidate; `go_on` says from its distance at a quarter of the effort whether to finish."""
        begun = time.perf_counter()
        record = _record(candidate, number)
        try:
            plan = self.planned(candidate)
            counts = {name: len(units) for name, units in plan.removed.items()}
            left = cost(self.base(candidate.layers).sites, plan.removed)
            clock = self._clock(candidate)
            record = replace(
                record,
                counts=counts,
                parameters=left.parameters,
                macs=left.macs,
                predicted_ms=clock.after(plan) if clock else None,
            )
            judged, state = self._judged(candidate, plan, go_on)
        except CompressionError as error:
            return replace(record, state="refused", reason=str(error), seconds=time.perf_counter() - begun)
        seconds = time.perf_counter() - begun
        return replace(
            record,
            state=state,
            seconds=seconds,
            distance=judged.distance,
            quality=judged.quality,
        )

    def _judged(self, candidate: Candidate, plan: Plan, go_on: GoOn) -> tuple[Judged, State]:
        base = self.base(candidate.layers)
        small = apply(base.model, plan)
        first = self.bench.judged(self._mended(small, base, plan, self.bench.rows // QUARTER), QUARTER)
        if not go_on(first.distance):
            return first, "cut short"
        return self.bench.judged(self._mended(small, base, plan, self.bench.rows)), "whole"

    def _mended(self, small: nn.Module, base: Base, plan: Plan, rows: int) -> nn.Module:
        return repair(small, base.model, plan, self.bench.task, rows=rows).model

    def furthest(self, one: Tried, goal: Goal, number: int) -> Tried:
        """A candidate's way to cut, as far as it holds the drop before any training, within a few halvings."""
        whole = self.whole.macs
        holds = self.bench.drop(one.quality) <= goal.drop
        low, high = (0.0, one.macs / whole) if holds else (one.macs / whole, 1.0)
        shape, found = Shape(one.temper, one.slope, one.bare, one.own), one
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            tried = self.tried(Candidate(one.method, shape, Macs(middle), one.layers), number)
            if tried.state == "whole" and self.bench.drop(tried.quality) <= goal.drop:
                high, found = middle, tried
            else:
                low = middle
        return found

    def recipe(self, tried: Tried, max_drop: float | None = None) -> Recipe:
        """The recipe that makes a candidate."""
        width = Stage(
            method=methods.get(tried.method),
            budget=Count(tried.counts),
            recovery=self.style.recovery,
            protect=self.style.protect,
            multiple_of=self.style.multiple_of,
        )
        depth = Stage(method=methods.get("linear_fit"), budget=Count(tried.layers or 1), recovery=None)
        return Recipe((depth, width) if tried.layers else (width,), max_drop=max_drop)


def _absolute(limit: Limit, whole: Cost, clock: Clock | None) -> Limit:
    """A limit as a number: a share is one of the original, also where layers have gone from it."""
    match limit:
        case Params(float() as share):
            return Params(max(int(share * whole.parameters), 1))
        case Macs(float() as share):
            return Macs(max(int(share * whole.macs), 1))
        case Latency(share, "x") if clock is not None:
            return replace(limit, limit=share * clock.original, unit="ms")
    return limit


def _record(candidate: Candidate, number: int) -> Tried:
    shape = candidate.shape
    return Tried(
        number=number,
        method=candidate.method,
        temper=shape.temper,
        slope=shape.slope,
        bare=shape.bare,
        own=shape.own,
        layers=candidate.layers,
        state="whole",
        seconds=0.0,
    )
