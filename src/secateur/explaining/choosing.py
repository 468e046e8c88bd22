"""Which units an explanation shows: the least and the most important ones of every site."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from secateur.errors import SettingsError
from secateur.explaining.showing import Show, as_given


@dataclass(frozen=True)
class Detail:
    """How much an explanation shows.

    `units` of every site are shown at either end of its scores, with `examples` at each place of their outputs: the
    lowest, the highest, and the two sides of the largest gap. `show` makes an example of a batch's row; see
    `showing.Show`. `stability` scores two halves of the data as well.
    """

    units: int = 8
    examples: int = 3
    show: Show = as_given
    stability: bool = False

    def __post_init__(self) -> None:
        for name, value in (("units", self.units), ("examples", self.examples)):
            if value < 1:
                raise SettingsError(f"explain: {name} is {value}; give at least 1.")

    def showing(self, show: Show) -> "Detail":
        """The same with other examples."""
        return replace(self, show=show)


@dataclass(frozen=True)
class Chosen:
    """The units of a site that are shown, at either end the outermost first."""

    least: tuple[int, ...]
    most: tuple[int, ...]

    @property
    def units(self) -> tuple[int, ...]:
        """All of them, in the order of their outputs."""
        return (*self.least, *self.most)


def order_of(scores: Float64[ndarray, " units"]) -> tuple[int, ...]:
    """The units from the lowest score up; equal ones by their numbers."""
    return tuple(np.argsort(scores, kind="stable").tolist())


def chosen(order: tuple[int, ...], count: int) -> Chosen:
    """So many units at either end, each once; where they are too few for that, the middle one counts as important."""
    least = order[: min(count, len(order) // 2)]
    most = order[::-1][: min(count, len(order) - len(least))]
    return Chosen(least, most)
