"""Units in the order in which they go: site by site, and over the whole model.

Where the units of a site lie in blocks, each step takes the next lowest of every block; sites that are twins take
their steps together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float64, Int

from secateur.budget.outcome import Cost, costs_over_time, edit_of
from secateur.errors import BudgetError, SettingsError
from secateur.plan import Edit, Removal
from secateur.scores import Scores
from secateur.sites import Site, Sites

Numbers = Float64[np.ndarray, " units"]
Order = Int[np.ndarray, " units"]
Steps = Int[np.ndarray, " steps"]
Taken = Int[np.ndarray, " taken"]


@dataclass(frozen=True)
class Ranked:
    """A site, its scores, its units from the lowest score to the highest, and the mean score of each step."""

    site: Site
    scores: Numbers
    order: Order
    levels: Float64[np.ndarray, " steps"]

    def edit(self, steps: int) -> Edit:
        """The edit that takes so many steps."""
        lowest = self.order[: steps * self.site.blocks]
        removals = [Removal(int(unit), float(self.scores[unit]), rank) for rank, unit in enumerate(lowest)]
        return edit_of(self.site, removals, threshold=max(removal.score for removal in removals))


@dataclass(frozen=True)
class Family:
    """A site and its twins, which take their steps together; mostly a site alone."""

    members: tuple[Ranked, ...]

    @property
    def steps(self) -> int:
        """In how many steps all units go."""
        return self.members[0].site.steps

    @property
    def units(self) -> int:
        """How many units there are."""
        return sum(ranked.site.units for ranked in self.members)

    @property
    def most(self) -> int:
        """How many steps it may take: the last one only where a path around remains."""
        return self.steps if all(ranked.site.droppable for ranked in self.members) else self.steps - 1

    def levels(self, *, comparable: bool) -> Numbers:
        """A score for each step: those of sites that cannot be compared in units of their root mean square."""
        levels = [r.levels if comparable else _in_root_mean_squares(r.levels) for r in self.members]
        mean: Numbers = np.mean(levels, 0)
        return mean


def families(scores: Scores, sites: Sites, protect: Iterable[str]) -> list[Family]:
    """The sites that may lose units, twins together; those of a protected site are protected too."""
    protected = sites.matching(protect)
    protected |= {twin for name in protected for twin in sites[name].twins}
    found: list[Family] = []
    taken: set[str] = set(protected)
    for site in sites:
        if site.name not in taken:
            names = [name for name in (site.name, *site.twins) if name in sites.names]
            taken |= set(names)
            found.append(Family(tuple(_rank(sites[name], scores) for name in names)))
    return found


def common_order(some: Sequence[Family], *, comparable: bool) -> Steps:
    """The family that takes its next step, step by step, until each has one left."""
    if not some:
        return np.zeros(0, dtype=np.int64)
    scores = [family.levels(comparable=comparable)[:-1] for family in some]
    places = np.repeat(np.arange(len(some)), [len(s) for s in scores])
    ranks = np.concatenate([np.arange(len(s)) for s in scores])
    return places[np.lexsort((ranks, places, np.concatenate(scores)))]


def rounded(family: Family, count: int, multiple_of: int) -> int:
    """The steps after which a multiple is left, nearest to those asked for; none that would take what must stay."""
    if multiple_of < 1:
        raise SettingsError(f"multiple_of is {multiple_of}; give at least 1.")
    if multiple_of == 1 or not 0 < count < family.steps:
        return count
    kept = max(nearest((family.steps - count) / multiple_of), 1) * multiple_of
    return family.steps - min(kept, family.steps)


def nearest(number: float) -> int:
    """The nearest integer, a half going up, also where rounding left a little less than that (0.29 of 50 units)."""
    return int(number + 0.5 + 1e-9)


def costs_along(order: Steps, some: Sequence[Family], sites: Sites, multiple_of: int = 1) -> Callable[[int], Cost]:
    """What the model costs after so many steps of an order, each site rounded to a multiple then."""
    moments = {}
    for place, family in enumerate(some):
        moment = _moments_of_leaving(family, np.flatnonzero(order == place) + 1, multiple_of)
        for ranked in family.members:
            moments[ranked.site.name] = np.full(ranked.site.units, np.inf)
            leaving = ranked.order[: len(moment) * ranked.site.blocks]
            moments[ranked.site.name][leaving] = np.repeat(moment, ranked.site.blocks)
    return costs_over_time(sites, moments)


def _moments_of_leaving(family: Family, steps: Steps, multiple_of: int) -> Taken:
    """When each unit of a family leaves, the lowest first, if it takes its own steps at these moments."""
    gone = np.array([rounded(family, count + 1, multiple_of) for count in range(len(steps))], dtype=np.int64)
    first = np.searchsorted(gone, np.arange(1, gone[-1] + 1 if len(gone) else 1))
    return steps[first]


def _rank(site: Site, scores: Scores) -> Ranked:
    if site.name not in scores.values:
        raise BudgetError(f"{site.name}: {scores.method} gave no scores for its {site.units} units; protect the site.")
    values = scores.values[site.name].detach().cpu().double().numpy()
    if bad := int((~np.isfinite(values)).sum()):
        raise BudgetError(
            f"{site.name}: {bad} of {site.units} scores of {scores.method} are NaN or infinite; "
            "look for them in the weights and the calibration data."
        )
    ranks = np.argsort(values.reshape(site.blocks, -1), axis=1, kind="stable")
    order = (ranks + np.arange(site.blocks)[:, None] * site.steps).T.reshape(-1)
    return Ranked(site, values, order, values[order].reshape(-1, site.blocks).mean(1))


def _in_root_mean_squares(scores: Numbers) -> Numbers:
    """Scores divided by their root mean square; zeros stay zeros."""
    largest = np.abs(scores).max()
    if largest == 0:
        return scores
    scaled: Numbers = scores / largest  # squares of very large and very small scores would leave float64's range
    scaled /= sqrt(np.square(scaled).mean())
    return scaled
