"""Units that lie on several axes at once: what is left of them must still be a tensor.

Where entries form a grid (heads × the size of a head, pieces of a split, groups of a norm), every row must lose as many
of them. That holds when the same column goes from every row: units are joined so. Where rows do not mix later, they
can lose different columns: such a site has its rows as blocks.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secateur.coupling.labels import Coupling, Labels, collapsed, connected

Grid = Labels


def squared(coupling: Coupling, fields: Sequence[Labels], root: Labels) -> Labels:
    """Roots after the columns of every grid have been joined over its rows, until nothing more follows."""
    spread = [field for field in fields if sum(size > 1 for size in field.shape) > 1]
    rows = _rows_declared(coupling.grids)
    while True:
        grids = [root[grid] for grid in coupling.grids]
        grids += [_oriented(root[field], field, rows) for field in spread]
        edges = [(np.broadcast_to(grid[:1], grid.shape).ravel(), grid.ravel()) for grid in grids if len(grid) > 1]
        after = connected(root, [edge for edge in edges if not np.array_equal(*edge)])
        if np.array_equal(after, root):
            return root
        root = after


def fills_slices(field: Labels, axis: int) -> tuple[Labels, NDArray[np.bool_]]:
    """The distinct labels of a field, and for each whether its entries make up whole slices along an axis."""
    found, places = np.unique(field, return_inverse=True)
    slices = np.moveaxis(places.reshape(field.shape), axis, 0).reshape(field.shape[axis], -1)
    ordered = np.sort(slices, 1)
    firsts = np.ones(ordered.shape, dtype=bool)
    firsts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    touched = np.bincount(ordered[firsts], minlength=len(found))
    return found, touched * slices.shape[1] == np.bincount(places.ravel(), minlength=len(found))


@dataclass(frozen=True)
class Blocks:
    """A site's units in blocks: `block` and `place` (the unit's number in its block) for each of its fine roots."""

    count: int
    block: Mapping[int, int]
    place: Mapping[int, int]


def blocks_of(units: Sequence[Sequence[int]], signatures: Mapping[int, int]) -> Blocks | None:
    """Units that were joined over rows, told apart again as blocks; None where the rows are of different kinds.

    `units` has, for every coarse root in order, the fine roots in it, ascending. Each must hold equally many fine roots
    of every signature; the n-th of every signature make up the unit of block n.
    """
    block: dict[int, int] = {}
    place: dict[int, int] = {}
    count = 0
    for number, unit in enumerate(units):
        kinds: dict[int, list[int]] = defaultdict(list)
        for root in unit:
            kinds[signatures.get(root, 0)].append(root)
        sizes = {len(roots) for kind, roots in kinds.items() if kind}
        if len(sizes) != 1 or (number and sizes != {count}):
            return None
        count = sizes.pop()
        for roots in kinds.values():
            for position, root in enumerate(roots):
                block[root], place[root] = position % count, number
    return Blocks(count, block, place) if count > 1 else None


def keeps_rows_apart(fields: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], units: int) -> bool:
    """Whether blocks may lose different units, given the block and place of every entry (−1: another site's).

    On one axis, the entries of a block must lie together, all its units in each run; on several, some axis must have
    one whole block in each of its rows.
    """
    return all(_is_apart(block, place, units) for block, place in fields)


def have_equal_rows(grids: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], units: int) -> bool:
    """Whether every row of every grid holds whole blocks, and each as many."""
    for block, place in grids:
        runs = [_whole_runs(b[b >= 0], p[b >= 0], units) for b, p in zip(block, place, strict=True)]
        if any(run is None for run in runs) or len(set(runs)) > 1:
            return False
    return True


def _is_apart(block: NDArray[np.int64], place: NDArray[np.int64], units: int) -> bool:
    axes = [axis for axis, size in enumerate(block.shape) if size > 1]
    if len(axes) <= 1:
        own = block.ravel() >= 0
        return _whole_runs(block.ravel()[own], place.ravel()[own], units) is not None
    for axis in axes:
        blocks, places = (np.moveaxis(array, axis, -1).reshape(-1, block.shape[axis]) for array in (block, place))
        if _is_a_run_each(blocks, places, units):
            return True
    return False


def _is_a_run_each(block: NDArray[np.int64], place: NDArray[np.int64], units: int) -> bool:
    """Whether every row has the units of one block, all of them, equally often."""
    own = block >= 0
    highest = block.max(1, keepdims=True)
    if bool((own.sum(1) < units).any()) or bool((own & (block != highest)).any()):
        return False
    rows = np.nonzero(own)[0]
    counts = np.bincount(rows * units + place[own], minlength=len(block) * units).reshape(-1, units)
    return bool((counts == counts[:, :1]).all())


def _whole_runs(block: NDArray[np.int64], place: NDArray[np.int64], units: int) -> int | None:
    """How many runs of one block there are, if each has all the block's units, equally often."""
    if len(block) == 0:
        return 0
    run = np.cumsum(np.diff(block, prepend=block[0]) != 0)
    runs = int(run[-1]) + 1
    counts = np.bincount(run * units + place, minlength=runs * units).reshape(runs, units)
    return runs if bool((counts == counts[:, :1]).all()) else None


def _rows_declared(grids: Sequence[Labels]) -> dict[int, tuple[int, int]]:
    """For labels in declared grids, the grid and row that they are in."""
    rows: dict[int, tuple[int, int]] = {}
    for number, grid in enumerate(grids):
        for place, row in enumerate(grid):
            for label in row.tolist():
                rows.setdefault(label, (number, place))
    return rows


def _oriented(field: Labels, labels: Labels, rows: Mapping[int, tuple[int, int]]) -> Grid:
    """A field as a grid: its columns along the axis that gets shorter; empty where nothing has to be joined."""
    axes = [axis for axis, size in enumerate(collapsed(field).shape) if size > 1]
    if len(axes) < 2 or _is_square(field, axes):
        return field[:0].reshape(0, 0)
    axis = max(axes, key=lambda a: (_is_declared(labels, a, rows), field.shape[a], a))
    return np.moveaxis(field, axis, -1).reshape(-1, field.shape[axis])


def _is_square(field: Labels, axes: list[int]) -> bool:
    """Whether every label fills whole slices along some axis."""
    filled = [fills_slices(field, axis)[1] for axis in axes]
    return bool(np.any(filled, 0).all())


def _is_declared(labels: Labels, axis: int, rows: Mapping[int, tuple[int, int]]) -> bool:
    """Whether neighbours along an axis are in one row of a declared grid."""
    one, other = (int(labels.take(place, axis).ravel()[0]) for place in (0, 1))
    return one in rows and other in rows and rows[one] == rows[other]
