"""Which number of each example stands for a unit's output: the one that the method looks at, where it looks at any."""

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from secateur.calibration import measured
from secateur.explanation import Content, Picture, Text
from secateur.homology import Positions
from secateur.scores import Maps, Method, Observing, Points

_PLACES = {
    "first": "the output at the first token",
    "last": "the output at the last token",
    "mean": "the mean of the outputs over the tokens",
}


@dataclass(frozen=True)
class Reading:
    """What to watch, and what a number of it is, for texts and for other examples."""

    look: Points
    of_texts: str
    of_maps: str = "the mean over the map"
    otherwise: str = "the output"

    def words(self, content: Content | None) -> str:
        """What the number of an example is."""
        match content:
            case Text():
                return self.of_texts
            case Picture():
                return self.of_maps
        return self.otherwise


def reading_of(method: Method) -> Reading:
    """What a method looks at, one number for each example; the mean of a unit's outputs where it looks at none."""
    watches: Any = method.watches if isinstance(method, Observing) else None
    match watches:
        case Points(measure=Positions() as positions, tap=tap):
            return Reading(Points(replace(positions, count=1), tap), _PLACES[positions.place])
        case Points(measure=measure, tap=tap):
            words = f"what {method.name} reads"
            return Reading(Points(_First(measure), tap), words, words, words)
        case Maps(tap=tap):
            words = f"what {method.name} measures of"
            return Reading(
                Points(_Measured(watches), tap), f"{words} the outputs", f"{words} the map", f"{words} the output"
            )
    return Reading(Points(Positions("mean")), _PLACES["mean"])


@dataclass(frozen=True)
class _First:
    """The first number of a point."""

    measure: Any

    def __call__(
        self, maps: Float[Tensor, "examples units height width"], tokens: Tensor | None
    ) -> Float[Tensor, "some units 1"]:
        return self.measure(maps, tokens)[..., :1]


@dataclass(frozen=True)
class _Measured:
    """What a look measures of a map, as a point on the line."""

    look: Maps

    def __call__(
        self, maps: Float[Tensor, "examples units height width"], tokens: Tensor | None
    ) -> Float[Tensor, "some units 1"]:
        return measured(self.look, maps, tokens)[..., None]
