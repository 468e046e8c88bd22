"""From scores to the units that go."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.budget.amounts import Below, Budget, Count, Latency, Macs, Params, Share
from secateur.budget.outcome import plan_from
from secateur.budget.ranking import Family, Steps, Taken, common_order, costs_along, families, nearest, rounded
from secateur.budget.timed import Clock, within
from secateur.errors import BudgetError
from secateur.plan import Plan
from secateur.scores import Scores
from secateur.sites import Site, Sites

NEAR = 0.01  # how far below a limit on costs a plan may end, where it can be helped
TRIES = 8


def select(
    scores: Scores,
    sites: Sites,
    budget: Budget,
    *,
    protect: Iterable[str] = (),
    multiple_of: int = 1,
    clock: Clock | None = None,
) -> Plan:
    """The plan that meets a budget by removing the lowest scores.

    Ties go by position: the earlier site first, in it the lower unit. Sites that match a pattern in `protect` lose
    nothing, whatever the budget says, and do not count in a share. `Share` of the model, `Params` and `Macs` need one
    order over all sites: where the scores are not comparable, those of each site are divided by their root mean square.
    `Params` and `Macs` remove no unit more than they must, and leave out units so large that they overshoot by more
    than 1 %. Every site keeps a unit; only `Below` and a `Count` of all units empty a site, and only a droppable one.
    Sites whose units lie in blocks lose as many from each, twins as many as each other.

    `multiple_of` rounds what is left of every site (of each of its blocks) to the nearest multiple, where that is no
    more than there was: widths of 8 or 16 are what many devices are fast at. `Params` and `Macs` hold after rounding.

    `Latency` takes units in the same order until the time that `clock` predicts is short enough; it needs the clock of
    this model.

    Raises:
        BudgetError: the budget cannot be met, or the scores do not fit the sites.
        UnknownNameError: a site in the scores, in `protect` or in the budget is unknown.
    """
    for name in scores.values:
        _check_length(sites[name], scores)
    free = families(scores, sites, protect)
    if isinstance(budget, Latency):
        order = common_order(free, comparable=scores.comparable)

        def planned(steps: int) -> Plan:
            return _plan(scores, sites, free, _per_family(order[:steps], free), multiple_of)

        return within(budget, clock, len(order), planned)
    return _plan(scores, sites, free, _counts(free, scores, sites, budget, multiple_of), multiple_of)


def _plan(scores: Scores, sites: Sites, free: Sequence[Family], asked: Sequence[int], multiple_of: int) -> Plan:
    """The plan that takes so many steps of each family, rounded."""
    counts = [rounded(family, count, multiple_of) for family, count in zip(free, asked, strict=True)]
    edits = {
        ranked.site.name: ranked.edit(count)
        for family, count in zip(free, counts, strict=True)
        for ranked in family.members
        if count
    }
    return plan_from(sites, scores.method, [edits[site.name] for site in sites if site.name in edits])


def _check_length(site: Site, scores: Scores) -> None:
    if (length := len(scores.values[site.name])) != site.units:
        raise BudgetError(f"{site.name}: {length} scores for {site.units} units; score the sites of this model.")


def _counts(
    free: Sequence[Family],
    scores: Scores,
    sites: Sites,
    budget: Share | Count | Below | Params | Macs,
    multiple_of: int,
) -> Sequence[int]:
    """How many steps each family takes."""
    match budget:
        case Share(ratio, "site"):
            return [min(nearest(ratio * family.steps), family.steps - 1) for family in free]
        case Share(ratio):
            order = common_order(free, comparable=scores.comparable)
            units = np.cumsum([free[place].units // free[place].steps for place in order])
            count = nearest(ratio * sum(family.units for family in free))
            return _per_family(order[: int(np.searchsorted(units, count, side="right"))], free)
        case Count(units):
            return _asked_for(units, free, sites)
        case Below():
            return [_count_below(family, budget) for family in free]
        case Params() | Macs():
            order = common_order(free, comparable=scores.comparable)
            return _per_family(_nearest_order(_Limited(budget, free, sites, multiple_of), order), free)


def _asked_for(units: int | Mapping[str, int], free: Sequence[Family], sites: Sites) -> list[int]:
    if isinstance(units, Mapping):
        asked = {sites[name].name: count for name, count in units.items()}
    else:
        asked = {ranked.site.name: units for family in free for ranked in family.members}
    return [_asked_of(family, asked) for family in free]


def _asked_of(family: Family, asked: Mapping[str, int]) -> int:
    counts = set()
    for site in (ranked.site for ranked in family.members):
        count = asked.get(site.name, 0)
        if count > family.most * site.blocks or count % site.blocks:
            each = f", a multiple of its {site.blocks} blocks" if site.blocks > 1 else ""
            most = family.most * site.blocks
            raise BudgetError(f"{site.name}: {count} of {site.units} units are to go; give {most} or fewer{each}.")
        counts.add(count // site.blocks)
    if len(counts) > 1:
        names = " and ".join(ranked.site.name for ranked in family.members)
        raise BudgetError(f"{names}: {min(counts)} to {max(counts)} units are to go; ask as many of each.")
    return counts.pop()


def _count_below(family: Family, budget: Below) -> int:
    counts = []
    for ranked in family.members:
        threshold = budget.threshold * float(ranked.scores.max()) if budget.relative else budget.threshold
        below = (ranked.scores <= threshold).reshape(ranked.site.blocks, -1).sum(1)
        counts.append(int(below.min()))  # every block loses as many as the one with the fewest
    return min(*counts, family.most)


def _per_family(order: Steps | Taken, free: Sequence[Family]) -> list[int]:
    return [int(count) for count in np.bincount(order, minlength=len(free))]


@dataclass(frozen=True)
class _Limited:
    """A limit on what is left of a model when some sites lose units, each rounded to a multiple."""

    budget: Params | Macs
    free: Sequence[Family]
    sites: Sites
    multiple_of: int

    def left(self, order: Steps) -> Callable[[int], int]:
        """How much is left after so many steps of an order."""
        costs = costs_along(order, self.free, self.sites, self.multiple_of)
        return lambda steps: costs(steps).parameters if isinstance(self.budget, Params) else costs(steps).macs

    def limit(self, whole: int) -> float:
        """How much may be left of so much."""
        return self.budget.limit * whole if isinstance(self.budget.limit, float) else self.budget.limit


def _nearest_order(limited: _Limited, order: Steps) -> Taken:
    """The shortest order that meets a budget; where its last step goes far below, one that does without such steps.

    A unit of a residual stream costs far more than others: steps that overshoot by more than 1 % are left out.
    """
    best, most = order[:0], -1
    for _ in range(TRIES):
        costs = limited.left(order)
        limit = limited.limit(costs(0))
        try:
            steps = _fewest(limited, order, costs, limit)
        except BudgetError:
            if most < 0:
                raise
            break
        left = costs(steps)
        if left > most:
            best, most = order[:steps], left
        if steps == 0 or left >= (1 - NEAR) * limit:
            break
        later = order[steps - 1 :]
        order = np.concatenate([order[: steps - 1], later[later != later[0]]])
    return best


def _fewest(limited: _Limited, order: Steps, left: Callable[[int], int], limit: float) -> int:
    """The smallest number of steps after which the budget is met; costs fall with every step, so bisect."""
    least = left(len(order))
    if least > limit:
        what = "parameters" if isinstance(limited.budget, Params) else "multiply-adds"
        fewest = "one unit" if limited.multiple_of == 1 else f"{limited.multiple_of} units"
        raise BudgetError(
            f"{type(limited.budget).__name__}: {int(limit):,} of {left(0):,} {what} cannot be reached; {least:,} are "
            f"left with {fewest} at each of {len(limited.free)} sites; allow that many or protect fewer sites."
        )
    return bisect_left(range(len(order)), -limit, key=lambda steps: -left(steps))
