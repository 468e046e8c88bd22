"""Which units a cut network kept, told from slices of its tensors that are equal, bit for bit, to the original's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.sites import Site, Sites, TensorAxis

Units = Mapping[str, tuple[int, ...]]
Tensors = Mapping[str, Tensor]

_Place = tuple[str, int]  # a tensor and one of its axes


@dataclass(frozen=True)
class _Pair:
    """Both networks' tensors, and for every axis the sites that have entries on it."""

    before: Tensors
    after: Tensors
    owners: Mapping[_Place, Sequence[tuple[Site, TensorAxis]]]

    def is_cut(self, place: _Place) -> bool:
        """Whether an axis is shorter in the cut network."""
        name, axis = place
        return self.before[name].shape[axis] != self.after[name].shape[axis]

    def is_whole(self, axis: TensorAxis) -> bool:
        """Whether all entries of an axis belong to one site."""
        place = axis.tensor, axis.axis
        return len(self.owners[place]) == 1 and len(set(axis.positions)) == self.before[axis.tensor].shape[axis.axis]


def removed_units(sites: Sites, before: Tensors, after: Tensors) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """The units that each site lost, and for sites where that cannot be told, why.

    A slice along an axis can be compared once it is known what went from the tensor's other axes, so sites are gone
    through until nothing more can be told. Tensors are those of both networks by name, of as many axes.
    """
    owners: dict[_Place, list[tuple[Site, TensorAxis]]] = {}
    for site in sites:
        for axis in site.axes:
            if axis.tensor in before:
                owners.setdefault((axis.tensor, axis.axis), []).append((site, axis))
    pair = _Pair(before, after, owners)
    known: dict[str, tuple[int, ...]] = {}
    unclear = {site.name: "" for site in sites}
    while True:
        progress = False
        for name in list(unclear):
            found = _units_gone(sites[name], pair, known)
            if isinstance(found, str):
                unclear[name] = found
            else:
                known[name] = found
                del unclear[name]
                progress = True
        if not progress:
            break
    lost = {name: gone for name, gone in known.items() if gone}
    return lost, (*(f"{name}: {why}" for name, why in unclear.items()), *_beyond(pair))


def _beyond(pair: _Pair) -> tuple[str, ...]:
    """Axes that were cut although no site has entries there."""
    cut = [
        (name, axis)
        for name in pair.before
        for axis in range(pair.before[name].dim())
        if pair.is_cut((name, axis)) and (name, axis) not in pair.owners
    ]
    return tuple(f"{name}: axis {axis} is shorter, but what lies there cannot be removed" for name, axis in cut[:1])


def _units_gone(site: Site, pair: _Pair, known: Units) -> tuple[int, ...] | str:
    """The units that a site lost, or why they cannot be told (yet)."""
    why: list[str] = []
    for axis in site.axes:
        if axis.tensor not in pair.before or not pair.is_whole(axis):
            continue
        if not pair.is_cut((axis.tensor, axis.axis)):
            return ()
        found = _units_at(axis, pair, known)
        match found:
            case tuple():
                return found
            case str():
                why.append(found)
    return why[0] if why else "none of its tensors can be compared with the original's"


def _units_at(axis: TensorAxis, pair: _Pair, known: Units) -> tuple[int, ...] | str | None:
    """The units missing along one axis, or why they cannot be told; None where other axes are not known yet."""
    original, small = pair.before[axis.tensor], pair.after[axis.tensor]
    for other in range(original.dim()):
        if other != axis.axis and pair.is_cut((axis.tensor, other)):
            stays = _entries_kept((axis.tensor, other), pair, known)
            if stays is None:
                return None
            original = original.index_select(other, torch.tensor(stays, device=original.device))
    place = f"{axis.tensor}, axis {axis.axis}"
    kept = _matched(_slices(original, axis.axis), _slices(small, axis.axis))
    if isinstance(kept, str):
        return f"{place}: {kept}"
    gone = set(range(original.shape[axis.axis])) - set(kept)
    units = tuple(u for u in range(len(axis.positions) // axis.repeat) if gone.intersection(axis.entries(u)))
    if sum(len(axis.entries(unit)) for unit in units) != len(gone):
        return f"{place}: units were cut in part"
    return units


def _entries_kept(place: _Place, pair: _Pair, known: Units) -> list[int] | None:
    """The entries of the original that stayed on an axis; None where that is not known yet, or does not add up."""
    owners = pair.owners.get(place, ())
    if any(site.name not in known for site, _ in owners):
        return None
    gone = {entry for site, axis in owners for unit in known[site.name] for entry in axis.entries(unit)}
    name, number = place
    stays = [entry for entry in range(pair.before[name].shape[number]) if entry not in gone]
    return stays if len(stays) == pair.after[name].shape[number] else None


def _slices(tensor: Tensor, axis: int) -> list[bytes]:
    """The bytes of every slice along an axis."""
    if tensor.numel() == 0:
        return [b""] * tensor.shape[axis]
    rows = tensor.detach().cpu().movedim(axis, 0).contiguous().flatten(1 if tensor.dim() > 1 else 0)
    table = rows.reshape(tensor.shape[axis], -1).view(torch.uint8).numpy()
    return [row.tobytes() for row in table]


def _matched(original: list[bytes], small: list[bytes]) -> list[int] | str:
    """Where the slices of the cut network stand in the original, in order; or why there is no one answer."""
    first = _earliest(original, small)
    if isinstance(first, str):
        return first
    last = _earliest(original[::-1], small[::-1])
    assert not isinstance(last, str)  # what is found in order is found backwards
    if [len(original) - 1 - index for index in last[::-1]] != first:
        return "several slices of the original are equal, so which of them stayed cannot be told"
    return first


def _earliest(original: list[bytes], small: list[bytes]) -> list[int] | str:
    found: list[int] = []
    start = 0
    for number, row in enumerate(small):
        try:
            start = original.index(row, start) + 1
        except ValueError:
            return f"slice {number} is none of the original's; it was trained or changed, or taken out of order"
        found.append(start - 1)
    return found
