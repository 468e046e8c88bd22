"""Which sizes are measured, and how a size in between follows from them.

Kernels work in blocks: their time jumps behind multiples of 8 and 16, and dips at these, where data are aligned. So
multiples of 8 follow from multiples of a wider step, all other sizes from those just inside of two such multiples.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

Corner = tuple[int, float]  # a size that is measured, and its weight

ALL = 8  # every size up to this is measured
_PARTS = 16  # steps in a doubling of the size


def corners(size: int) -> tuple[Corner, ...]:
    """The sizes that are measured around a size, with weights that add up to 1 and have the size as their mean."""
    if size <= ALL:
        return ((size, 1.0),)
    step = max(ALL, (1 << (size - 1).bit_length()) // _PARTS)
    below = size // step * step
    if size == below:
        return ((size, 1.0),)
    inside = 0 if size % ALL == 0 else 1
    low, high = below + inside, below + step - inside
    share = (size - low) / (high - low)
    return ((low, 1.0 - share), (high, share)) if 0 < share < 1 else ((size, 1.0),)


def around(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], float]]:
    """The same for several sizes together: every combination of their corners, weights multiplied."""
    for chosen in product(*(corners(size) for size in sizes)):
        yield tuple(size for size, _ in chosen), prod(weight for _, weight in chosen)
