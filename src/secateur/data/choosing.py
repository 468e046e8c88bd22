"""Which images or texts train, score, validate and test: drawn by a seed, each class by its share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from secateur.data import query
from secateur.data.splits import Part, taken_evenly
from secateur.errors import SettingsError
from secateur.task import Split

HELD_OUT = 5_000  # rows at most, and a tenth of the training rows at most, where nothing is said
TENTH = 0.1
SCORING = 5_000  # as Ganguli and Chong (OCNNA) use

Rows = Int64[ndarray, " _"]


@dataclass(frozen=True)
class Division:
    """How many rows each part gets; below 1, which share. None is as usual; see `divide`."""

    validation: float | None = None
    test: float | None = None
    scoring: int | None = None
    limit: int | None = None

    def completed(self, validation: float | None, test: float | None) -> "Division":
        """The same with the caller's numbers where the address says nothing."""
        return replace(
            self,
            validation=validation if self.validation is None else self.validation,
            test=test if self.test is None else self.test,
        )


@dataclass(frozen=True, eq=False)
class Chosen:
    """Row numbers; `pool` says of which of the parts that the set has."""

    pool: Part
    rows: Rows


@dataclass(frozen=True, eq=False)
class Draw:
    """Draws rows by a seed, each class by its share; `place` and what rows are called are for errors.

    Where training need not have `every_class`, classes may have a row or two: then the seed also says which of them
    come first, and so which give one.
    """

    seed: int
    place: str
    things: str = "images"
    every_class: bool = True

    def some(self, labels: Rows, rows: Rows, count: int) -> tuple[Rows, Rows]:
        """So many of the rows, and the others; both ascending."""
        chance = np.random.default_rng(self.seed)
        order = chance.permutation(rows)
        places = np.arange(labels.max() + 1) if self.every_class else chance.permutation(labels.max() + 1)
        order = order[np.argsort(places[labels[order]], kind="stable")]
        taken, left = taken_evenly(order, count)
        return np.sort(taken), np.sort(left)

    def held_out(self, labels: Rows, rows: Rows, part: Part, wanted: float | None) -> tuple[Rows, Rows]:
        """Rows for a part, and those that are left, among them one of every class where that must be, else one."""
        usual = min(HELD_OUT, max(int(TENTH * len(labels)), 1))
        _, first = np.unique(labels[rows] if self.every_class else np.zeros_like(rows), return_index=True)
        free = np.delete(rows, first)
        count = self.count(usual if wanted is None else wanted, len(labels), len(free), part)
        taken, left = self.some(labels, free, count)
        return taken, np.sort(np.concatenate([left, rows[first]]))

    def count(self, wanted: float, whole: int, most: int, part: str) -> int:
        """How many a number means: itself, or a share of the whole where it is below 1."""
        count = round(wanted * whole) if 0 < wanted < 1 else round(wanted)
        if not 1 <= count <= most:
            found = f"{part}={wanted:g} asks for {count} {self.things}, but {most} of {whole} can be given"
            raise SettingsError(f"{self.place}: {found}; ask for fewer, or give more {self.things}.")
        return count


def divide(labels: Mapping[Part, Rows], division: Division, draw: Draw) -> dict[Split, Chosen]:
    """The rows of each split, ascending.

    A part that the set has is its own, all of it or as many as the division says; one that it lacks is held out of
    training: as many as the division says, or 5,000, but a tenth at most. The calibration rows are 5,000 of training.

    Raises:
        SettingsError: more rows are asked for than there are.
    """
    left: Rows = np.arange(len(labels["train"]))
    chosen: dict[Split, Chosen] = {}
    wanted: tuple[tuple[Part, float | None], ...] = (("test", division.test), ("validation", division.validation))
    for part, number in wanted:
        if number != 0 and part in labels:
            chosen[part] = Chosen(part, _of(labels[part], part, number, draw))
        elif number != 0:
            taken, left = draw.held_out(labels["train"], left, part, number)
            chosen[part] = Chosen("train", taken)
    chosen["train"] = Chosen("train", left)
    if division.limit is not None:
        chosen = {split: _limited(labels[one.pool], one, division.limit, draw) for split, one in chosen.items()}
    rows = chosen["train"].rows
    usual = min(SCORING, len(rows))
    scoring = draw.count(usual if division.scoring is None else division.scoring, len(rows), len(rows), "scoring")
    chosen["calibration"] = Chosen("train", draw.some(labels["train"], rows, scoring)[0])
    return chosen


def division_of(scheme: str, written: Mapping[str, str], thing: str) -> Division:
    """The division that options of an address ask for; `thing` is what a row is called.

    Raises:
        SettingsError: an option has a value it cannot have.
    """
    scoring = query.whole(scheme, written, "scoring", 1)
    if scoring == 1:
        found = f"scoring=1, but one {thing} has no spread to score by"
        raise SettingsError(f"{scheme}: {found}; give at least 2 (5000 is usual).")
    return Division(
        validation=query.amount(scheme, written, "validation"),
        test=query.amount(scheme, written, "test"),
        scoring=scoring,
        limit=query.whole(scheme, written, "limit", 2),
    )


def _of(labels: Rows, part: Part, wanted: float | None, draw: Draw) -> Rows:
    """The rows of a part that the set has."""
    rows: Rows = np.arange(len(labels))
    if wanted is None:
        return rows
    return draw.some(labels, rows, draw.count(wanted, len(rows), len(rows), part))[0]


def _limited(labels: Rows, chosen: Chosen, limit: int, draw: Draw) -> Chosen:
    return Chosen(chosen.pool, draw.some(labels, chosen.rows, min(limit, len(chosen.rows)))[0])
