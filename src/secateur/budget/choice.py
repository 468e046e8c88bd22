"""From scores to the units that go."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float64, Int

from secateur.budget.amounts import Below, Budget, Count, Macs, Params, Share
from secateur.budget.outcome import costs_over_time, edit_of, plan_from
from secateur.errors import BudgetError
from secateur.plan import Edit, Plan, Removal
from secateur.scores import Scores
from secateur.sites import Site, Sites

_Numbers = Float64[np.ndarray, " units"]
_Order = Int[np.ndarray, " units"]
_Steps = Int[np.ndarray, " steps"]


def select(scores: Scores, sites: Sites, budget: Budget, *, protect: Iterable[str] = ()) -> Plan:
    """The plan that meets a budget by removing the lowest scores.

    Ties go by position: the earlier site first, in it the lower unit. Sites named in `protect` lose nothing, whatever
    the budget says, and do not count in a share. `Share` of the model, `Params` and `Macs` need one order over all
    sites: where the scores are not comparable, those of each site are divided by their root mean square. `Params` and
    `Macs` remove no unit more than they must. Every site keeps a unit; only `Below` and a `Count` of all units empty a
    site, and only a droppable one.

    Raises:
        BudgetError: the budget cannot be met, or the scores do not fit the sites.
        UnknownNameError: a site in the scores, in `protect` or in the budget is unknown.
    """
    protected = {sites[name].name for name in protect}
    for name in scores.values:
        _check_length(sites[name], scores)
    ranked = [_rank(site, scores) for site in sites if site.name not in protected]
    counts = _counts(ranked, scores, sites, budget)
    return plan_from(sites, scores.method, [_edit(r, count) for r, count in zip(ranked, counts, strict=True) if count])


@dataclass(frozen=True)
class _Ranked:
    """A site, its scores, and its units from the lowest score to the highest.

    Where the units lie in blocks, each step takes the next lowest of every block; `levels` has a score for each step.
    """

    site: Site
    scores: _Numbers
    order: _Order
    levels: _Numbers

    @property
    def steps(self) -> int:
        """In how many steps all units go."""
        return len(self.levels)


def _rank(site: Site, scores: Scores) -> _Ranked:
    if site.name not in scores.values:
        raise BudgetError(f"{site.name}: {scores.method} gave no scores for its {site.units} units; protect the site.")
    values = scores.values[site.name].detach().cpu().double().numpy()
    if bad := int((~np.isfinite(values)).sum()):
        raise BudgetError(
            f"{site.name}: {bad} of {site.units} scores of {scores.method} are NaN or infinite; "
            "look for them in the weights and the calibration data."
        )
    ranks = np.argsort(values.reshape(site.blocks, -1), axis=1, kind="stable")
    order = (ranks + np.arange(site.blocks)[:, None] * ranks.shape[1]).T.reshape(-1)
    return _Ranked(site, values, order, values[order].reshape(-1, site.blocks).mean(1))


def _check_length(site: Site, scores: Scores) -> None:
    if (length := len(scores.values[site.name])) != site.units:
        raise BudgetError(f"{site.name}: {length} scores for {site.units} units; score the sites of this model.")


def _counts(ranked: Sequence[_Ranked], scores: Scores, sites: Sites, budget: Budget) -> Sequence[int]:
    match budget:
        case Share(ratio, "site"):
            return [min(_nearest(ratio * r.steps), r.steps - 1) for r in ranked]
        case Share(ratio):
            order = _common_order(ranked, scores.comparable)
            units = np.cumsum([ranked[place].site.blocks for place in order])
            count = _nearest(ratio * sum(r.site.units for r in ranked))
            return _per_site(order[: int(np.searchsorted(units, count, side="right"))], ranked)
        case Count(units):
            return _asked_for(units, ranked, sites)
        case Below():
            return [_count_below(r, budget) for r in ranked]
        case Params() | Macs():
            order = _common_order(ranked, scores.comparable)
            return _per_site(order[: _fewest(budget, order, ranked, sites)], ranked)


def _nearest(number: float) -> int:
    """The nearest integer, a half going up (`round` would take it to the even neighbour)."""
    return int(number + 0.5)


def _asked_for(units: int | Mapping[str, int], ranked: Sequence[_Ranked], sites: Sites) -> list[int]:
    if isinstance(units, Mapping):
        asked = {sites[name].name: count for name, count in units.items()}
    else:
        asked = {r.site.name: units for r in ranked}
    counts = [asked.get(r.site.name, 0) for r in ranked]
    for r, count in zip(ranked, counts, strict=True):
        blocks = r.site.blocks
        most = r.site.units if r.site.droppable else r.site.units - blocks
        if count > most or count % blocks:
            each = f", a multiple of its {blocks} blocks" if blocks > 1 else ""
            raise BudgetError(f"{r.site.name}: {count} of {r.site.units} units are to go; give {most} or fewer{each}.")
    return [count // r.site.blocks for r, count in zip(ranked, counts, strict=True)]


def _count_below(ranked: _Ranked, budget: Below) -> int:
    threshold = budget.threshold * float(ranked.scores.max()) if budget.relative else budget.threshold
    below = (ranked.scores <= threshold).reshape(ranked.site.blocks, -1).sum(1)
    count = int(below.min())  # every block loses as many as the one with the fewest
    return count if ranked.site.droppable else min(count, ranked.steps - 1)


def _common_order(ranked: Sequence[_Ranked], comparable: bool) -> _Steps:
    """The site that loses its next lowest unit, step by step, until each has one unit left."""
    if not ranked:
        return np.zeros(0, dtype=np.int64)
    scores = [r.levels[:-1] if comparable else _in_root_mean_squares(r.levels)[:-1] for r in ranked]
    places = np.repeat(np.arange(len(ranked)), [len(s) for s in scores])
    ranks = np.concatenate([np.arange(len(s)) for s in scores])
    return places[np.lexsort((ranks, places, np.concatenate(scores)))]


def _in_root_mean_squares(scores: _Numbers) -> _Numbers:
    """Scores divided by their root mean square; zeros stay zeros."""
    largest = np.abs(scores).max()
    if largest == 0:
        return scores
    scaled: _Numbers = scores / largest  # squares of very large and very small scores would leave float64's range
    scaled /= sqrt(np.square(scaled).mean())
    return scaled


def _per_site(order: _Steps, ranked: Sequence[_Ranked]) -> list[int]:
    return [int(count) for count in np.bincount(order, minlength=len(ranked))]


def _fewest(budget: Params | Macs, order: _Steps, ranked: Sequence[_Ranked], sites: Sites) -> int:
    """The smallest number of steps after which the budget is met; costs fall with every step, so bisect."""
    moments = {r.site.name: np.full(r.site.units, np.inf) for r in ranked}
    for place, r in enumerate(ranked):
        leaving = r.order[: -r.site.blocks]
        moments[r.site.name][leaving] = np.repeat(np.flatnonzero(order == place) + 1, r.site.blocks)
    costs = costs_over_time(sites, moments)

    def left(steps: int) -> int:
        return costs(steps).parameters if isinstance(budget, Params) else costs(steps).macs

    limit = budget.limit * left(0) if isinstance(budget.limit, float) else budget.limit
    least = left(len(order))
    if least > limit:
        what = "parameters" if isinstance(budget, Params) else "multiply-adds"
        raise BudgetError(
            f"{type(budget).__name__}: {int(limit):,} of {left(0):,} {what} cannot be reached; "
            f"{least:,} are left with one unit at each of {len(ranked)} sites; allow that many or protect fewer sites."
        )
    return bisect_left(range(len(order)), -limit, key=lambda steps: -left(steps))


def _edit(ranked: _Ranked, count: int) -> Edit:
    lowest = ranked.order[: count * ranked.site.blocks]
    removals = [Removal(int(unit), float(ranked.scores[unit]), rank) for rank, unit in enumerate(lowest)]
    return edit_of(ranked.site, removals, threshold=max(removal.score for removal in removals))
