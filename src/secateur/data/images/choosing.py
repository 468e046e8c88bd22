"""Which images train, score, validate and test: drawn by a seed, each class by its share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from secateur.data.images.address import Division
from secateur.data.splits import Part, taken_evenly
from secateur.errors import SettingsError
from secateur.task import Split

HELD_OUT = 5_000  # images at most, and a tenth of the training images at most, where nothing is said
TENTH = 0.1
SCORING = 5_000  # as Ganguli and Chong (OCNNA) use

Rows = Int64[ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Row numbers; `pool` says of which of the parts that the set has."""

    pool: Part
    rows: Rows


@dataclass(frozen=True, eq=False)
class Draw:
    """Draws rows by a seed, each class by its share; `place` is for errors.

    Where training need not have `every_class`, classes may have an image or two: then the seed also says which of them
    come first, and so which give one.
    """

    seed: int
    place: str
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
            found = f"{part}={wanted:g} asks for {count} images, but {most} of {whole} can be given"
            raise SettingsError(f"{self.place}: {found}; ask for fewer, or give more images.")
        return count


def divide(labels: Mapping[Part, Rows], division: Division, draw: Draw) -> dict[Split, Chosen]:
    """The images of each split, ascending.

    A part that the set has is its own, all of it or as many as the division says; one that it lacks is held out of
    training: as many as the division says, or 5,000, but a tenth at most. The calibration images are 5,000 of training.

    Raises:
        SettingsError: more images are asked for than there are.
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


def _of(labels: Rows, part: Part, wanted: float | None, draw: Draw) -> Rows:
    """The rows of a part that the set has."""
    rows: Rows = np.arange(len(labels))
    if wanted is None:
        return rows
    return draw.some(labels, rows, draw.count(wanted, len(rows), len(rows), part))[0]


def _limited(labels: Rows, chosen: Chosen, limit: int, draw: Draw) -> Chosen:
    return Chosen(chosen.pool, draw.some(labels, chosen.rows, min(limit, len(chosen.rows)))[0])
