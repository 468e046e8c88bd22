"""From removed units to the plan, and to what is left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from jaxtyping import Float64

from secateur.errors import PlanError
from secateur.plan import Cut, Edit, Plan, Removal, Resize
from secateur.sites import Site, Sites

Moments = Float64[np.ndarray, " units"]
_Axis = tuple[str, int]
_EntryMoments = Float64[np.ndarray, " entries"]


@dataclass(frozen=True)
class Cost:
    """Parameters of a model, and multiply-adds for one example."""

    parameters: int
    macs: int


def plan_of(sites: Sites, removed: Mapping[str, Sequence[int]], method: str = "chosen") -> Plan:
    """The plan that removes the given units of each named site; scores are 0, ranks follow the order given.

    Raises:
        UnknownNameError: a site is unknown.
        PlanError: a unit does not exist or is named twice, or a site that is not droppable would lose all its units.
    """
    for name, units in removed.items():
        _check_units(sites[name], units)
        _check_twins(sites, sites[name], removed)
    return plan_from(sites, method, [_chosen(site, removed[site.name]) for site in sites if removed.get(site.name)])


def cost(sites: Sites, removed: Mapping[str, Sequence[int]]) -> Cost:
    """What is left of the model without the removed units of each named site."""
    return costs_over_time(sites, _at_once(sites, removed))(0)


def costs_over_time(sites: Sites, moments: Mapping[str, Moments]) -> Callable[[int], Cost]:
    """What the model costs at a moment, given when each unit goes (infinity: never)."""
    departures = {axis: np.sort(entries) for axis, entries in _leaving(sites, moments, works=True).items()}

    def at(moment: int) -> Cost:
        gone = {axis: int(np.searchsorted(times, moment, side="right")) for axis, times in departures.items()}
        parameters, macs = 0, 0.0
        for tensor in sites.tensors:
            entries = prod(size - gone.get((tensor.name, axis), 0) for axis, size in enumerate(tensor.shape))
            parameters += entries * tensor.is_parameter
            macs += entries * tensor.macs_per_entry
        return Cost(parameters, round(macs))

    return at


def _leaving(sites: Sites, moments: Mapping[str, Moments], *, works: bool = False) -> dict[_Axis, _EntryMoments]:
    """When each entry of each shrinking axis (those of works too, if asked) goes, given when each unit goes."""
    shapes = {tensor.name: tensor.shape for tensor in sites.tensors}
    leaving: dict[_Axis, _EntryMoments] = {}
    for site in (site for site in sites if site.name in moments):
        for axis in (*site.axes, *(site.works if works else ())):
            key = (axis.tensor, axis.axis)
            entries = leaving.setdefault(key, np.full(shapes[axis.tensor][axis.axis], np.inf))
            np.minimum.at(entries, np.asarray(axis.positions), np.repeat(moments[site.name], axis.repeat))
    return leaving


def _at_once(sites: Sites, removed: Mapping[str, Sequence[int]]) -> dict[str, Moments]:
    moments = {}
    for name, units in removed.items():
        moments[name] = np.full(sites[name].units, np.inf)
        moments[name][list(units)] = 0
    return moments


def _chosen(site: Site, units: Sequence[int]) -> Edit:
    return edit_of(site, [Removal(int(unit), 0.0, rank) for rank, unit in enumerate(units)], threshold=None)


def edit_of(site: Site, removals: Iterable[Removal], threshold: float | None) -> Edit:
    """The edit that removes some units of a site."""
    with_it = tuple(dict.fromkeys(axis.tensor for axis in site.axes))
    ascending = tuple(sorted(removals, key=lambda removal: removal.unit))
    return Edit(site.name, site.units, ascending, threshold, with_it)


def _check_units(site: Site, units: Sequence[int]) -> None:
    outside = [unit for unit in units if not 0 <= unit < site.units]
    if outside:
        raise PlanError(
            f"{site.name}: there is no unit {outside[0]}; its {site.units} units are 0 to {site.units - 1}."
        )
    if len(set(units)) < len(units):
        twice = next(unit for unit in units if list(units).count(unit) > 1)
        raise PlanError(f"{site.name}: unit {twice} is named twice among {len(units)} removed units; name it once.")
    length = site.units // site.blocks
    lost = [sum(unit // length == block for unit in units) for block in range(site.blocks)]
    if len(set(lost)) > 1:
        raise PlanError(
            f"{site.name}: its {site.units} units are {site.blocks} blocks of {length}, each of which must lose as "
            f"many; the plan removes {min(lost)} to {max(lost)} from a block."
        )
    if len(units) == site.units and not site.droppable:
        raise PlanError(f"{site.name}: the plan removes all {site.units} units; at least one must stay.")


def _check_twins(sites: Sites, site: Site, removed: Mapping[str, Sequence[int]]) -> None:
    for twin in site.twins:
        lost, other = len(removed[site.name]) // site.blocks, len(removed.get(twin, ())) // sites[twin].blocks
        if lost != other:
            each = f"of each of {site.blocks} blocks" if site.blocks > 1 else "of it"
            raise PlanError(
                f"{site.name}: {lost} units {each} go, but {other} of {twin}, whose size is the same number in the "
                "code; remove as many of both."
            )


def plan_from(sites: Sites, method: str, edits: Sequence[Edit]) -> Plan:
    """The plan of some edits: one cut per axis, for all the sites that share it."""
    removed = {edit.site: tuple(removal.unit for removal in edit.removed) for edit in edits}
    leaving = _leaving(sites, _at_once(sites, removed))
    cuts = tuple(
        Cut(tensor, axis, len(moments), tuple(np.flatnonzero(np.isfinite(moments)).tolist()))
        for (tensor, axis), moments in leaving.items()
    )
    whole = [site for site in sites if len(removed.get(site.name, ())) == site.units]
    emptied = _emptied(sites, whole, {cut.tensor for cut in cuts if _is_all(cut)})
    return Plan(method, tuple(edits), cuts, emptied, attributes=_resized(sites, removed))


def _resized(sites: Sites, removed: Mapping[str, Sequence[int]]) -> tuple[Resize, ...]:
    """The modules' own sizes after some units of each site have gone."""
    resized: dict[tuple[str, str], Resize] = {}
    counted: set[tuple[str, str, str]] = set()
    for site in sites:
        for sized in site.sized if removed.get(site.name) else ():
            place = sized.module, sized.name
            before = resized.setdefault(place, Resize(*place, sized.value, sized.value))
            if not any((*place, twin) in counted for twin in site.twins):  # twins lose the same entries once
                lost = len(removed[site.name]) * sized.loses // sized.per
                resized[place] = replace(before, after=before.after - lost)
            counted.add((*place, site.name))
    return tuple(resized.values())


def _is_all(cut: Cut) -> bool:
    return len(cut.removed) == cut.length


def _emptied(sites: Sites, whole: Sequence[Site], empty: set[str]) -> tuple[str, ...]:
    """Modules between the weights (norms, activations) with nothing left to work on."""
    needed = {_module(axis.tensor) for site in sites for axis in site.made_by}
    needed |= {_module(tensor.name) for tensor in sites.tensors if tensor.shape and tensor.name not in empty}
    needed |= {norm for site in sites if site not in whole for norm in site.normalised_by}
    between = [name for site in whole for name in (*site.normalised_by, *(_module(a.tensor) for a in site.carried_by))]
    return tuple(dict.fromkeys(name for name in between if name and name not in needed))


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]
