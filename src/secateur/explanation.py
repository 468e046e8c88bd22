"""Why units matter: plain data, from which the page of an explanation is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float, Float64, UInt8
from numpy import ndarray

from secateur.result import Agreement


@dataclass(frozen=True)
class Text:
    """An example that is read: one text, or two that belong together."""

    parts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """An example that is looked at: grey, or red, green and blue."""

    pixels: UInt8[ndarray, "height width channels"]


@dataclass(frozen=True)
class Row:
    """An example of a table: what each column holds."""

    values: tuple[tuple[str, str | float], ...]


Content = Text | Picture | Row


@dataclass(frozen=True, eq=False)
class Example:
    """One example of the calibration data, and its class or target where it has one."""

    content: Content
    label: str | None = None


@dataclass(frozen=True)
class Gap:
    """The largest gap between two neighbours among the outputs of a unit: the lower and the upper one."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a unit puts out behind one of the layers that make it, a number for each example.

    `deaths` are those of the numbers' zero-dimensional persistence, from the smallest up: the gaps between neighbours.
    Examples are numbered in the order of the data: `lowest` and `highest` have the outermost outputs first, `below` and
    `above` stand at the two sides of the largest gap, the nearest first. `maps` are what the unit makes of some of
    them.
    """

    layer: str
    values: Float[ndarray, " examples"]
    deaths: Float[ndarray, " merges"]
    gap: Gap | None
    lowest: tuple[int, ...]
    below: tuple[int, ...]
    above: tuple[int, ...]
    highest: tuple[int, ...]
    maps: Mapping[int, Float[ndarray, "height width"]] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[int, ...]:
        """The examples that stand for the unit, each once."""
        return tuple(dict.fromkeys((*self.lowest, *self.below, *self.above, *self.highest)))


@dataclass(frozen=True, eq=False)
class Unit:
    """One unit: its number, its score, its rank in its site (0 is the lowest score), and what it puts out."""

    number: int
    score: float
    rank: int
    outputs: tuple[Outputs, ...]


@dataclass(frozen=True, eq=False)
class SiteExplanation:
    """The scores of all units of a site, and its least and most important ones, the outermost first.

    `agreement` is what two halves of the data agree on, where that was asked for; `remark` says why no unit is shown,
    or why it means nothing which ones are.
    """

    name: str
    scores: Float64[ndarray, " units"]
    ranks: tuple[int, ...]
    least: tuple[Unit, ...] = ()
    most: tuple[Unit, ...] = ()
    agreement: Agreement | None = None
    remark: str = ""

    @property
    def shown(self) -> tuple[Unit, ...]:
        """The units with their outputs, the most important first."""
        return (*self.most, *reversed(self.least))


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which units of a network matter, and why.

    `reading` says which number of each example an output is; `watched` examples were. `examples` are those that stand
    for units, by their numbers. `comparable` says that scores of different sites are on one scale.
    """

    method: str
    comparable: bool
    reading: str
    watched: int
    sites: tuple[SiteExplanation, ...]
    examples: Mapping[int, Example]

    @property
    def units(self) -> int:
        """How many units all sites have."""
        return sum(len(site.scores) for site in self.sites)
