"""What became of every unit over all rounds that were kept, in the numbers of the original network."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secateur.plan import Edit
from secateur.report.outcome import kept_rounds
from secateur.result import Result, SiteScores


@dataclass(frozen=True)
class Reason:
    """Why the units of one edit went: what they have in common."""

    round: int
    threshold: float | None
    with_it: tuple[str, ...]
    taken_over_by: str


@dataclass(frozen=True)
class Fate:
    """One unit: its number in the original and, where it stays, in the final network; else the reason."""

    site: str
    unit: int
    score: float | None
    rank: int | None
    now: int | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class Standing:
    """One site between two rounds: the original numbers of the units left, their last scores and ranks."""

    site: str
    original: int
    alive: tuple[int, ...]
    known: dict[int, tuple[float, int]] = field(default_factory=dict)

    def numbers(self, count: int) -> Sequence[int] | None:
        """The original number of each unit of a round: of those left, or of all; None where neither fits."""
        if count == len(self.alive):
            return self.alive
        return range(count) if count == self.original else None


def fates(result: Result[Any]) -> tuple[tuple[Fate, ...], tuple[str, ...]]:
    """The fate of every unit, removed ones first, and a note for every site whose numbers could not be followed."""
    sites = {name: _whole(name, before) for name, (before, _) in result.widths.items()}
    gone: list[Fate] = []
    notes: list[str] = []
    for one in kept_rounds(result):
        for scored in one.scores:
            standing = sites.get(scored.site) or _whole(scored.site, len(scored.scores))
            sites[scored.site] = _scored(standing, scored)
        for edit in one.plan.edits:
            standing = sites.get(edit.site) or _whole(edit.site, edit.units)
            if standing.numbers(edit.units) is None:
                notes.append(_renumbered(edit, one.number, len(standing.alive)))
                standing = _whole(edit.site, edit.units)
            lost = _lost(standing, edit, one.number)
            gone += lost
            sites[edit.site] = _without(standing, lost)
    stay = (fate for standing in sites.values() for fate in _staying(standing))
    return (*gone, *stay), tuple(notes)


def _whole(site: str, units: int) -> Standing:
    return Standing(site, units, tuple(range(units)))


def _scored(standing: Standing, scored: SiteScores) -> Standing:
    """The site with a round's scores and ranks; as it was where the scores are of another number of units.

    That is so where a round goes on scoring after it has cut the site.
    """
    numbers = standing.numbers(len(scored.scores))
    if numbers is None:
        return standing
    ranks = _ranks(scored.scores)
    return replace(standing, known={unit: (scored.scores[i], ranks[i]) for i, unit in enumerate(numbers)})


def _lost(standing: Standing, edit: Edit, number: int) -> list[Fate]:
    """The units that an edit takes, without those that had gone before."""
    numbers = standing.numbers(edit.units) or ()
    present = set(standing.alive)
    reason = Reason(number, edit.threshold, edit.with_it, edit.taken_over_by)
    return [
        Fate(edit.site, numbers[removal.unit], removal.score, removal.rank, reason=reason)
        for removal in edit.removed
        if numbers[removal.unit] in present
    ]


def _without(standing: Standing, lost: Sequence[Fate]) -> Standing:
    gone = {fate.unit for fate in lost}
    return replace(standing, alive=tuple(unit for unit in standing.alive if unit not in gone))


def _staying(standing: Standing) -> list[Fate]:
    found = []
    for now, unit in enumerate(standing.alive):
        score, rank = standing.known.get(unit, (None, None))
        found.append(Fate(standing.site, unit, score, rank, now=now))
    return found


def _ranks(scores: Sequence[float]) -> list[int]:
    """Each unit's place from the lowest score up; ties go by position, NaN comes last."""
    order = sorted(range(len(scores)), key=lambda unit: (scores[unit] != scores[unit], scores[unit], unit))
    ranks = [0] * len(scores)
    for rank, unit in enumerate(order):
        ranks[unit] = rank
    return ranks


def _renumbered(edit: Edit, number: int, left: int) -> str:
    return (
        f"{edit.site}: round {number} counts {edit.units:,} units where {left:,} were left; from there on the numbers "
        "are that round's own."
    )
