"""Labels over a tensor of one shape, as labels over the same entries in another shape."""

from collections.abc import Iterator

import numpy as np

from secateur.coupling.labels import Labels, collapsed


def reshaped(field: Labels, old: tuple[int, ...], new: tuple[int, ...]) -> Labels | None:
    """A field over `old` as a field over `new`, run of axes by run of axes."""
    if 0 in old or 0 in new:
        return None
    shape: list[int] = []
    full: list[int] = []
    for before, after in _runs(old, new):
        varies = any(field.shape[axis] > 1 for axis in before)
        full += [old[axis] if varies else 1 for axis in before]
        shape += [new[axis] if varies else 1 for axis in after]
    return collapsed(np.broadcast_to(field, full).reshape(shape))


def _runs(old: tuple[int, ...], new: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """The shortest runs of axes of two shapes that hold equally many entries."""
    i = j = 0
    while i < len(old) or j < len(new):
        before: list[int] = []
        after: list[int] = []
        left = right = 1
        while (not before and not after) or left != right:
            if (left <= right and i < len(old)) or j >= len(new):
                before.append(i)
                left *= old[i]
                i += 1
            else:
                after.append(j)
                right *= new[j]
                j += 1
        yield before, after
