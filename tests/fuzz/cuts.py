"""Random units to remove, as many in every block of a site."""

from random import Random

import torch
from torch import nn

from secateur.sites import Site, Sites

NONE = 0.35  # how often a site loses nothing
ALL = 0.1  # how often a site that may lose all units does


def drawn_units(sites: Sites, rng: Random) -> dict[str, tuple[int, ...]]:
    """Units of every site: none, one, all but one, all where that is allowed, or some."""
    removed = _drawn(families(sites), rng)
    if sites.sites and not any(removed.values()):
        removed = {site.name: _some(site, 1, rng) for site in rng.choice(families(sites))}
    return {name: units for name, units in removed.items() if units}


def families(sites: Sites) -> list[tuple[Site, ...]]:
    """Sites that must lose equally many units, once."""
    found: list[tuple[Site, ...]] = []
    for site in sites:
        if all(site not in family for family in found):
            found.append((site, *(sites[twin] for twin in site.twins)))
    return found


def _drawn(chosen: list[tuple[Site, ...]], rng: Random) -> dict[str, tuple[int, ...]]:
    counts = [(family, _count(family, rng)) for family in chosen]
    return {site.name: _some(site, count, rng) for family, count in counts for site in family}


def _count(family: tuple[Site, ...], rng: Random) -> int:
    """How many units of each block go from every site of a family."""
    steps = min(site.steps for site in family)
    draw = rng.random()
    if draw < NONE:
        return 0
    if draw > 1 - ALL and all(site.droppable and site.steps == steps for site in family):
        return steps
    return rng.choice(sorted({1, steps - 1, rng.randrange(steps), rng.randrange(steps)} & set(range(steps))) or [0])


def _some(site: Site, count: int, rng: Random) -> tuple[int, ...]:
    """So many units of every block."""
    if site.steps <= count and not site.droppable:
        return ()
    starts = range(0, site.units, site.steps)
    return tuple(start + unit for start in starts for unit in sorted(rng.sample(range(site.steps), count)))


def removable_share(sites: Sites, model: nn.Module) -> float:
    """The share of the model's parameters that belong to a unit of some site."""
    fixed = {name: torch.ones(tensor.shape, dtype=torch.bool) for name, tensor in model.named_parameters()}
    total = sum(mask.numel() for mask in fixed.values())
    for axis in (axis for site in sites for axis in site.axes if axis.tensor in fixed):
        fixed[axis.tensor].index_fill_(axis.axis, torch.tensor(axis.positions, dtype=torch.long), False)
    return 1.0 - sum(int(mask.sum()) for mask in fixed.values()) / max(total, 1)
