"""From labels to sites: which units can go, what goes with them, and which stay."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from secateur.coupling.counts import Flow, counted_by
from secateur.coupling.labels import Coupling, Labels, Reading, Value, varying
from secateur.coupling.members import Lane, Members, members_of
from secateur.coupling.rectangles import fills_slices, squared
from secateur.sites import Pinned, Read, Site, TensorAxis

Held = dict[int, tuple[str, str]]


def sites_of(coupling: Coupling, flow: Flow) -> tuple[tuple[Site, ...], tuple[Pinned, ...]]:
    """The sites in the order of the data, and the units that stay with the operator that holds them."""
    fine = coupling.roots()
    fields = [field for value in flow.values.values() for field in value.fields]
    coarse = squared(coupling, fields, fine)
    lanes = _lanes(coupling, flow.tensors)
    held = _spread_out(flow, coarse) | _firm(coupling, coarse) | _held(coupling, coarse)
    made = _distinct(coarse, coupling.made)
    read = _distinct(coarse, [reading.labels.ravel() for reading in coupling.readings])
    members = members_of(lanes, fields, coupling.grids, (fine, coarse), (made & read) - held.keys())
    reads = _reads(coupling.readings, members)
    sites = _described(lanes, members, reads)
    kept = {n for field in coupling.inferred for n in [_only_site(members, field)] if n is not None}
    only = _only_sites(members, flow)
    sites = [
        replace(site, droppable=n not in kept and _may_lose_all(site, n, only, flow)) for n, site in enumerate(sites)
    ]
    place = {reading.node: n for n, reading in enumerate(coupling.readings)}
    order = sorted(range(len(sites)), key=lambda number: place[sites[number].reads[0].node])
    sites = _named_apart(sites, order)
    counted, twins = counted_by(coupling, flow, members, coarse)
    sites = [
        replace(site, sized=tuple(counted.get(n, ())), twins=tuple(sites[other].name for other in twins.get(n, ())))
        for n, site in enumerate(sites)
    ]
    return tuple(sites[number] for number in order), tuple(_pinned(lanes, held, coarse))


def works_of(coupling: Coupling) -> Iterable[tuple[str, tuple[int, ...], float]]:
    """Name, shape and multiply-adds per entry of every product that no parameter stands for."""
    for number, work in enumerate(coupling.works):
        shape = tuple(max(len(lane), 1) for lane in work.lanes)
        yield _work_name(number, work.node), shape, work.macs / max(int(np.prod(shape)), 1)


def _work_name(number: int, node: str) -> str:
    return f"{node} (product {number})"


def _distinct(root: Labels, labels: Iterable[Labels]) -> set[int]:
    arrays = list(labels)
    return set(np.unique(root[np.concatenate(arrays)]).tolist()) if arrays else set()


def _lanes(coupling: Coupling, tensors: Mapping[str, Value]) -> list[Lane]:
    made = {int(label) for labels in coupling.made for label in labels[:1]}
    read = {int(r.weight_labels[0]) for r in coupling.readings if r.weight_labels is not None}
    lanes = []
    for name, value in tensors.items():
        for field in value.fields:
            labels = field.ravel()
            axis = next(a for a, size in enumerate(field.shape) if size > 1)
            part = "made" if int(labels[0]) in made else "read" if int(labels[0]) in read else "carried"
            lanes.append(Lane(name, axis, labels, part))
    for number, work in enumerate(coupling.works):
        name = _work_name(number, work.node)
        lanes += [Lane(name, axis, lane, "work") for axis, lane in enumerate(work.lanes) if len(lane)]
    return lanes


def _held(coupling: Coupling, root: Labels) -> Held:
    """For every unit that stays, the first operator that held it and why."""
    held: Held = {}
    for pin in coupling.pins:
        for unit in np.unique(root[pin.labels]).tolist():
            held.setdefault(unit, (pin.operator, pin.reason))
    return held


def _firm(coupling: Coupling, root: Labels) -> Held:
    """Units that would shorten an axis which keeps its length."""
    held: Held = {}
    for firm in coupling.firms:
        field = root[firm.field]
        if field.shape[firm.axis] > 1:
            units, fills = fills_slices(field, firm.axis)
            held |= dict.fromkeys(units[fills].tolist(), (firm.operator, "they meet values that cannot be cut"))
    return held


def _spread_out(flow: Flow, root: Labels) -> Held:
    """Units without which some value would be no tensor: they do not fill whole slices of it."""
    spread: Held = {}
    for node, value in flow.values.items():
        for field in (root[field] for field in value.fields if len(varying(field)) > 1):
            axes = varying(field)
            filled = [fills_slices(field, axis) for axis in axes]
            kept = filled[0][0][~np.any([fills for _, fills in filled], 0)]
            spread |= dict.fromkeys(kept.tolist(), (node, "they are spread over several axes"))
    return spread


def _reads(readings: list[Reading], members: Members) -> dict[int, list[Read]]:
    reads: dict[int, list[Read]] = defaultdict(list)
    for reading in readings:
        axes = varying(reading.labels) or (reading.labels.ndim - 1,)
        pattern = _one_period(reading.labels.reshape([reading.labels.shape[axis] for axis in axes]))
        labels = pattern.ravel()
        for site, entries in members.entries(labels).items():
            repeat = len(entries) // members.distinct(labels, entries)
            is_norm = reading.kind != "product"
            place = reading.node, reading.operand, axes, pattern.shape
            reads[site].append(Read(*place, entries, repeat, reading.weight, is_norm))
    return reads


def _one_period(pattern: Labels) -> Labels:
    """A pattern without its copies along the first axis, of which there are two where a batch of two was laid out."""
    half, rest = divmod(len(pattern), 2)
    if rest == 0 and pattern.ndim > 1 and half and bool((pattern[:half] == pattern[half:]).all()):
        return pattern[:half]
    return pattern


def _described(lanes: list[Lane], members: Members, reads: Mapping[int, list[Read]]) -> list[Site]:
    axes = _axes(lanes, members)
    names = _names(lanes, members)
    return [_site(names[n], members, n, axes[n], reads[n]) for n in range(len(members.units))]


def _axes(lanes: list[Lane], members: Members) -> dict[int, dict[str, list[TensorAxis]]]:
    axes: dict[int, dict[str, list[TensorAxis]]] = defaultdict(lambda: defaultdict(list))
    for lane in lanes:
        for site, entries in members.entries(lane.labels).items():
            repeat = len(entries) // members.distinct(lane.labels, entries)
            axes[site][lane.part].append(TensorAxis(lane.tensor, lane.axis, entries, repeat))
    return axes


def _names(lanes: list[Lane], members: Members) -> list[str]:
    """Every site by the first weight that makes it and no other site, or else by the first that makes it."""
    makers: list[list[tuple[bool, str]]] = [[] for _ in members.units]
    for lane in (lane for lane in lanes if lane.part == "made"):
        found = np.unique(members.site[lane.labels])
        for site in found[found >= 0]:
            makers[site].append((len(found) > 1, lane.tensor))
    first = [min(made, key=lambda maker: maker[0])[1] for made in makers]
    return [name.rsplit(".", 1)[0] if name.endswith(".weight") else name for name in first]


def _site(name: str, members: Members, number: int, axes: Mapping[str, list[TensorAxis]], reads: list[Read]) -> Site:
    norms = [read.weight for read in reads if read.is_norm and read.weight]
    return Site(
        name=name,
        units=members.units[number],
        made_by=tuple(axes["made"]),
        carried_by=tuple(axes["carried"]),
        read_by=tuple(axes["read"]),
        reads=tuple(reads),
        normalised_by=tuple(dict.fromkeys(norm.rpartition(".")[0] for norm in norms if "." in norm)),
        blocks=members.blocks[number],
        works=tuple(axes["work"]),
    )


def _named_apart(sites: list[Site], order: Iterable[int]) -> list[Site]:
    """Sites of one name (the same weights make them, different ones carry or read them) are numbered."""
    seen: dict[str, int] = defaultdict(int)
    apart = list(sites)
    for place in order:
        name = sites[place].name
        seen[name] += 1
        if seen[name] > 1:
            apart[place] = replace(sites[place], name=f"{name}#{seen[name]}")
    return apart


def _may_lose_all(site: Site, number: int, only: Mapping[str, set[int]], flow: Flow) -> bool:
    """Whether the network runs without any unit of a site: between matrices, if a path around it remains."""
    ranks = {name: len(value.shape) for name, value in flow.tensors.items()}
    is_between_matrices = all(ranks.get(axis.tensor, 3) <= 2 for axis in (*site.axes, *site.works))
    has_size = any(read.is_norm and read.weight is None for read in site.reads)
    return is_between_matrices and not has_size and site.blocks == 1 and _is_avoidable(number, only, flow)


def _is_avoidable(site: int, only: Mapping[str, set[int]], flow: Flow) -> bool:
    """Whether the output still depends on the input when all units of a site are gone."""
    reached = set(flow.inputs)
    for node, sources in flow.sources.items():
        if any(source in reached for source in sources) and site not in only.get(node, ()):
            reached.add(node)
    return flow.output in reached


def _only_sites(members: Members, flow: Flow) -> dict[str, set[int]]:
    """For every value, the sites without whose units nothing is left of it."""
    found: dict[str, set[int]] = {}
    for node, value in flow.values.items():
        sites = {_only_site(members, field) for field in value.fields}
        found[node] = {site for site in sites if site is not None}
    return found


def _only_site(members: Members, field: Labels) -> int | None:
    """The site that all units of a field are of, if there is one."""
    sites = members.site[field].ravel()
    return int(sites[0]) if len(sites) and sites[0] >= 0 and bool((sites == sites[0]).all()) else None


def _pinned(lanes: list[Lane], held: Mapping[int, tuple[str, str]], root: Labels) -> Iterable[Pinned]:
    """What weights make but nothing may remove, by the operator that holds it."""
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for lane in lanes:
        if lane.part == "made":
            for unit in np.unique(root[lane.labels]).tolist():
                if unit in held:
                    counts[(lane.tensor.removesuffix(".weight"), *held[unit])] += 1
    for (name, operator, reason), units in counts.items():
        yield Pinned(name, units, operator, reason)
