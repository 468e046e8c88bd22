"""From labels to groups of units: which are alike, how they are numbered, and which lie in blocks."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.coupling.labels import Labels
from secateur.coupling.rectangles import Blocks, blocks_of, have_equal_rows, keeps_rows_apart


@dataclass(frozen=True)
class Lane:
    """One cuttable axis of one tensor (or of a product): the label of each entry, and the axis's part in the net."""

    tensor: str
    axis: int
    labels: Labels
    part: str


@dataclass(frozen=True)
class Members:
    """For every label its site (-1: none), and its unit's number in that site; for every site, units and blocks."""

    site: Labels
    rank: Labels
    units: tuple[int, ...]
    blocks: tuple[int, ...]

    def entries(self, labels: Labels) -> dict[int, tuple[int, ...]]:
        """For each site among the labels: where its units' entries are, unit after unit."""
        sites = self.site[labels]
        found = {}
        for site in np.unique(sites[sites >= 0]):
            places = np.flatnonzero(sites == site)
            order = np.argsort(self.rank[labels[places]], kind="stable")
            found[int(site)] = tuple(places[order].tolist())
        return found

    def distinct(self, labels: Labels, entries: tuple[int, ...]) -> int:
        """How many units some entries belong to."""
        return len(np.unique(self.rank[labels[list(entries)]]))


def members_of(
    lanes: Sequence[Lane],
    fields: Sequence[Labels],
    grids: Sequence[Labels],
    roots: tuple[Labels, Labels],
    free: set[int],
) -> Members:
    """Sites of free units that have equally many entries on the same axes, and their blocks.

    `roots` are the fine ones (before grids were squared) and the coarse ones.
    """
    fine, coarse = roots
    groups = _alike(lanes, coarse, free)
    members = _numbered(groups, lanes, coarse)
    joined = np.unique(coarse[np.flatnonzero(fine != coarse)])
    held = [number for number, units in enumerate(groups) if bool(np.isin(units, joined).all())]
    touching = _touching(members, [*fields, *(lane.labels for lane in lanes)], set(held))
    rows = _touching(members, grids, set(held))
    signatures = _signatures(lanes, fine) if held else {}
    within = _within(joined, fine, coarse) if held else {}
    for number in held:
        units = sorted(groups[number], key=lambda unit: members.rank[unit])
        found = blocks_of([within[unit] for unit in units], signatures)
        if found is not None:
            members = _freed(members, number, found, (fine, touching[number], rows[number]))
    return members


def _freed(members: Members, site: int, blocks: Blocks, about: tuple[Labels, list[Labels], list[Labels]]) -> Members:
    """The members with a site's blocks told apart, where nothing mixes them."""
    fine, fields, grids = about
    units = members.units[site]
    block, place = (np.full(len(fine), -1, dtype=np.int64) for _ in range(2))
    own = np.flatnonzero(members.site == site)
    block[own] = [blocks.block.get(int(root), -1) for root in fine[own]]
    place[own] = [blocks.place.get(int(root), -1) for root in fine[own]]
    used = [labels for labels in fields if bool((members.site[labels] == site).any())]
    if not keeps_rows_apart(((block[labels], place[labels]) for labels in used), units):
        return members
    if not have_equal_rows(((block[grid], place[grid]) for grid in grids), units):
        return members
    rank = members.rank.copy()
    rank[own] = block[own] * units + place[own]
    sizes, counts = list(members.units), list(members.blocks)
    sizes[site], counts[site] = units * blocks.count, blocks.count
    return Members(members.site, rank, tuple(sizes), tuple(counts))


def _touching(members: Members, fields: Sequence[Labels], sites: set[int]) -> dict[int, list[Labels]]:
    """The fields that hold units of some sites."""
    touching: dict[int, list[Labels]] = defaultdict(list)
    for field in fields:
        for site in np.unique(members.site[field]).tolist() if sites else ():
            if site in sites:
                touching[site].append(field)
    return touching


def _within(units: Labels, fine: Labels, coarse: Labels) -> dict[int, list[int]]:
    """The fine roots in each of some coarse ones, ascending."""
    roots = np.unique(fine)
    roots = roots[np.isin(coarse[roots], units)]
    within: dict[int, list[int]] = defaultdict(list)
    for unit, root in zip(coarse[roots].tolist(), roots.tolist(), strict=True):
        within[unit].append(root)
    return within


def _signatures(lanes: Sequence[Lane], root: Labels) -> dict[int, bytes]:
    """For every unit, how many entries it has in which lanes, as bytes."""
    if not lanes:
        return {}
    places = np.repeat(np.arange(len(lanes)), [len(lane.labels) for lane in lanes])
    units = root[np.concatenate([lane.labels for lane in lanes])]
    found, counts = np.unique(units * len(lanes) + places, return_counts=True)  # by unit, then by lane
    owners, pairs = found // len(lanes), np.stack([found % len(lanes), counts], 1)
    starts = np.flatnonzero(np.diff(owners, prepend=-1)).tolist()
    ranges = zip(owners[starts].tolist(), starts, [*starts[1:], len(owners)], strict=True)
    return {unit: pairs[start:end].tobytes() for unit, start, end in ranges}


def _alike(lanes: Sequence[Lane], root: Labels, free: set[int]) -> list[list[int]]:
    """Free units, together where they have equally many entries on the same axes."""
    signatures = _signatures(lanes, root)
    alike: dict[bytes, list[int]] = defaultdict(list)
    for unit in sorted(free & signatures.keys()):
        alike[signatures[unit]].append(unit)
    return list(alike.values())


def _numbered(groups: list[list[int]], lanes: Sequence[Lane], root: Labels) -> Members:
    """Units numbered as they come in the first weight that makes them."""
    site = np.full(len(root), -1, dtype=np.int64)
    rank = np.zeros(len(root), dtype=np.int64)
    for number, units in enumerate(groups):
        site[units] = number
    for lane in (lane for lane in reversed(lanes) if lane.part == "made"):
        rank[root[lane.labels][::-1]] = np.arange(len(lane.labels))[::-1]
    for units in groups:
        order = sorted(units, key=lambda unit: rank[unit])
        rank[order] = np.arange(len(order))
    return Members(site[root], rank[root], tuple(len(units) for units in groups), (1,) * len(groups))


def spans(members: Members, labels: Labels, coarse: Labels) -> list[tuple[int, int, int, int]]:
    """For the sites in a field: site, the length of the axis that it shortens, and entries lost there for all units."""
    found = []
    axis = _cut_axis(coarse[labels])
    others = tuple(number for number in range(labels.ndim) if number != axis)
    for site in np.unique(members.site[labels]).tolist():
        if site >= 0:
            entries = int((members.site[labels] == site).any(others).sum())
            found.append((site, labels.shape[axis], entries, members.units[site]))
    return found


def _cut_axis(field: Labels) -> int:
    """The axis that gets shorter when units go: along the others nothing changes."""
    axes = [axis for axis, size in enumerate(field.shape) if size > 1] or [0]
    for axis in axes:
        rows = np.moveaxis(field, axis, -1).reshape(-1, field.shape[axis])
        if bool((rows == rows[:1]).all()):
            return axis
    return axes[-1]
