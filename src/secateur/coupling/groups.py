"""From labels to sites: which units can go, what goes with them, and which stay."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secateur.coupling.labels import Coupling, Labels, Value, varying
from secateur.sites import Pinned, Read, Site, TensorAxis


@dataclass(frozen=True)
class Flow:
    """A graph after the rules: every node's value and sources in the order of the data, tensors, inputs, output."""

    values: Mapping[str, Value]
    sources: Mapping[str, tuple[str, ...]]
    tensors: Mapping[str, Value]
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class _Lane:
    """One cuttable axis of one tensor: the unit of each entry, and the axis's part in the network."""

    tensor: str
    axis: int
    units: Labels
    part: str


@dataclass(frozen=True)
class _Members:
    """For every label its site (-1: none), and its unit's number in that site."""

    site: Labels
    rank: Labels

    def entries(self, labels: Labels) -> dict[int, tuple[int, ...]]:
        """For each site among the labels: where its units' entries are, unit after unit."""
        sites = self.site[labels]
        found = {}
        for site in np.unique(sites[sites >= 0]):
            places = np.flatnonzero(sites == site)
            order = np.argsort(self.rank[labels[places]], kind="stable")
            found[int(site)] = tuple(places[order].tolist())
        return found


def sites_of(coupling: Coupling, flow: Flow) -> tuple[tuple[Site, ...], tuple[Pinned, ...]]:
    """The sites in the order of the data, and the units that stay with the operator that holds them."""
    root = coupling.roots()
    lanes = _lanes(coupling, flow.tensors, root)
    held = _spread_out(flow, root) | _held(coupling, root)
    made = _distinct(root, coupling.made)
    read = _distinct(root, [reading.labels for reading in coupling.readings])
    groups = _alike(lanes, (made & read) - held.keys())
    members = _numbered(groups, lanes, len(root))
    reads = _reads(coupling, members, root)
    axes = _axes(lanes, members)
    names = _names(lanes, members, len(groups))
    sites = [_site(names[n], len(units), axes[n], reads[n]) for n, units in enumerate(groups)]
    outlets = [_is_avoidable(n, members, flow, root) for n in range(len(groups))]
    sites = [replace(site, droppable=avoidable) for site, avoidable in zip(sites, outlets, strict=True)]
    place = {reading.node: n for n, reading in enumerate(coupling.readings)}
    sites.sort(key=lambda site: place[site.reads[0].node])
    return _named_apart(sites), tuple(_pinned(lanes, held))


def _distinct(root: Labels, labels: Iterable[Labels]) -> set[int]:
    arrays = list(labels)
    return set(np.unique(root[np.concatenate(arrays)]).tolist()) if arrays else set()


def _lanes(coupling: Coupling, tensors: Mapping[str, Value], root: Labels) -> list[_Lane]:
    made = {int(label) for labels in coupling.made for label in labels[:1]}
    read = {int(r.weight_labels[0]) for r in coupling.readings if r.weight_labels is not None}
    lanes = []
    for name, value in tensors.items():
        for field in value.fields:
            labels = field.ravel()
            axis = next(a for a, size in enumerate(field.shape) if size > 1)
            part = "made" if int(labels[0]) in made else "read" if int(labels[0]) in read else "carried"
            lanes.append(_Lane(name, axis, root[labels], part))
    return lanes


def _held(coupling: Coupling, root: Labels) -> dict[int, tuple[str, str]]:
    """For every unit that stays, the first operator that held it and why."""
    held: dict[int, tuple[str, str]] = {}
    for pin in coupling.pins:
        for unit in np.unique(root[pin.labels]):
            held.setdefault(int(unit), (pin.operator, pin.reason))
    return held


def _spread_out(flow: Flow, root: Labels) -> dict[int, tuple[str, str]]:
    """Units without which some value would be no tensor: they do not fill whole slices of it."""
    spread: dict[int, tuple[str, str]] = {}
    for node, value in flow.values.items():
        for field in (root[field] for field in value.fields):
            axes = varying(field)
            if len(axes) > 1:
                kept = ~np.any([_fills_slices(field, axis, len(root)) for axis in axes], 0)
                spread.update(dict.fromkeys(np.flatnonzero(kept).tolist(), (node, "they are spread over several axes")))
    return spread


def _fills_slices(field: Labels, axis: int, labels: int) -> NDArray[np.bool_]:
    """For every label, whether its entries make up whole slices along an axis."""
    slices = np.moveaxis(field, axis, 0).reshape(field.shape[axis], -1)
    touched = np.bincount(np.concatenate([np.unique(part) for part in slices]), minlength=labels)
    return touched * slices.shape[1] == np.bincount(field.ravel(), minlength=labels)


def _alike(lanes: list[_Lane], free: set[int]) -> list[list[int]]:
    """Free units, together where they have equally many entries on the same axes."""
    signatures: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, lane in enumerate(lanes):
        for unit, count in zip(*np.unique(lane.units, return_counts=True), strict=True):
            signatures[int(unit)].append((place, int(count)))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for unit in sorted(free & signatures.keys()):
        alike[tuple(signatures[unit])].append(unit)
    return list(alike.values())


def _numbered(groups: list[list[int]], lanes: list[_Lane], labels: int) -> _Members:
    """Units numbered as they come in the first weight that makes them."""
    site = np.full(labels, -1, dtype=np.int64)
    rank = np.zeros(labels, dtype=np.int64)
    for number, units in enumerate(groups):
        site[units] = number
    for lane in (lane for lane in reversed(lanes) if lane.part == "made"):
        rank[lane.units[::-1]] = np.arange(len(lane.units))[::-1]
    for units in groups:
        order = sorted(units, key=lambda unit: rank[unit])
        rank[order] = np.arange(len(order))
    return _Members(site, rank)


def _axes(lanes: list[_Lane], members: _Members) -> dict[int, dict[str, list[TensorAxis]]]:
    axes: dict[int, dict[str, list[TensorAxis]]] = defaultdict(lambda: defaultdict(list))
    for lane in lanes:
        for site, entries in members.entries(lane.units).items():
            repeat = len(entries) // len(np.unique(members.rank[lane.units[list(entries)]]))
            axes[site][lane.part].append(TensorAxis(lane.tensor, lane.axis, entries, repeat))
    return axes


def _reads(coupling: Coupling, members: _Members, root: Labels) -> dict[int, list[Read]]:
    reads: dict[int, list[Read]] = defaultdict(list)
    for reading in coupling.readings:
        labels = root[reading.labels]
        for site, entries in members.entries(labels).items():
            repeat = len(entries) // len(np.unique(members.rank[labels[list(entries)]]))
            is_norm = reading.kind == "norm"
            place = reading.node, reading.operand, reading.axis
            reads[site].append(Read(*place, entries, repeat, reading.weight, is_norm))
    return reads


def _names(lanes: list[_Lane], members: _Members, sites: int) -> list[str]:
    """Every site by the first weight that makes it and no other site, or else by the first that makes it."""
    makers: list[list[tuple[bool, str]]] = [[] for _ in range(sites)]
    for lane in (lane for lane in lanes if lane.part == "made"):
        found = np.unique(members.site[lane.units])
        for site in found[found >= 0]:
            makers[site].append((len(found) > 1, lane.tensor))
    first = [min(made, key=lambda maker: maker[0])[1] for made in makers]
    return [name.rsplit(".", 1)[0] if name.endswith(".weight") else name for name in first]


def _site(name: str, units: int, axes: Mapping[str, list[TensorAxis]], reads: list[Read]) -> Site:
    norms = [read.weight for read in reads if read.is_norm and read.weight]
    return Site(
        name=name,
        units=units,
        made_by=tuple(axes["made"]),
        carried_by=tuple(axes["carried"]),
        read_by=tuple(axes["read"]),
        reads=tuple(reads),
        normalised_by=tuple(dict.fromkeys(norm.rpartition(".")[0] for norm in norms if "." in norm)),
    )


def _named_apart(sites: list[Site]) -> tuple[Site, ...]:
    """Sites of one name (the same weights make them, different ones carry or read them) are numbered."""
    seen: dict[str, int] = defaultdict(int)
    apart = []
    for site in sites:
        seen[site.name] += 1
        number = seen[site.name]
        apart.append(site if number == 1 else replace(site, name=f"{site.name}#{number}"))
    return tuple(apart)


def _is_avoidable(site: int, members: _Members, flow: Flow, root: Labels) -> bool:
    """Whether the output still depends on the input when all units of a site are gone."""
    reached = set(flow.inputs)
    for node, sources in flow.sources.items():
        if any(source in reached for source in sources) and not _is_only(site, members, flow.values.get(node), root):
            reached.add(node)
    return flow.output in reached


def _is_only(site: int, members: _Members, value: Value | None, root: Labels) -> bool:
    """Whether nothing is left of a value without the site's units."""
    fields = value.fields if value else ()
    return any(bool((members.site[root[field]] == site).all()) for field in fields)


def _pinned(lanes: list[_Lane], held: Mapping[int, tuple[str, str]]) -> Iterable[Pinned]:
    """What weights make but nothing may remove, by the operator that holds it."""
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for lane in lanes:
        if lane.part == "made":
            for unit in np.unique(lane.units):
                if int(unit) in held:
                    counts[(lane.tensor.removesuffix(".weight"), *held[int(unit)])] += 1
    for (name, operator, reason), units in counts.items():
        yield Pinned(name, units, operator, reason)
