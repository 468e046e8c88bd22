"""What flows between the blocks of a random network, and what a block is."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, prod
from random import Random

from torch import nn

MOST_UNITS = 40
MOST_PLACES = 300


@dataclass(frozen=True)
class Shape:
    """A value without its rows: an image is [units, *places], tokens are [places, units]."""

    layout: str  # image or tokens
    units: int
    places: tuple[int, ...]

    @property
    def dims(self) -> int:
        """How many axes the places have."""
        return len(self.places)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The axes after the rows."""
        return (self.units, *self.places) if self.layout == "image" else (*self.places, self.units)

    @property
    def is_modest(self) -> bool:
        """Whether further blocks on it stay fast."""
        return self.units <= MOST_UNITS and prod(self.places) <= MOST_PLACES


def shape_from(layout: str, sizes: tuple[int, ...]) -> Shape:
    """The shape of a value, from its axes after the rows."""
    return Shape(layout, sizes[0], sizes[1:]) if layout == "image" else Shape(layout, sizes[-1], sizes[:-1])


def always(_: Shape) -> bool:
    """A block that fits everywhere."""
    return True


@dataclass(frozen=True)
class Block:
    """A way to continue a network: which layout it takes and gives, and how it is built for a shape."""

    takes: str
    build: Callable[[Shape, Random], nn.Module]
    gives: str
    fits: Callable[[Shape], bool] = always


def on_images(
    build: Callable[[Shape, Random], nn.Module], gives: str = "image", fits: Callable[[Shape], bool] = always
) -> Block:
    """A block for images."""
    return Block("image", build, gives, fits)


def on_tokens(
    build: Callable[[Shape, Random], nn.Module], gives: str = "tokens", fits: Callable[[Shape], bool] = always
) -> Block:
    """A block for tokens."""
    return Block("tokens", build, gives, fits)


def in_planes(shape: Shape) -> bool:
    """Images with two axes of places."""
    return shape.dims == 2


def with_room(shape: Shape) -> bool:
    """Enough places on every axis to lose half of them."""
    return min(shape.places) >= 6


def is_square(shape: Shape) -> bool:
    """Tokens that can lie in a square."""
    return isqrt(shape.places[0]) ** 2 == shape.places[0]


def divisors(number: int) -> list[int]:
    """All numbers that divide a number."""
    return [d for d in range(1, number + 1) if number % d == 0]
