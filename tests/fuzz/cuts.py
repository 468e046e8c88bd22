"""Random units to remove, as many in every block of a site."""

from random import Random

import torch
from torch import nn

from secateur.sites import Site, Sites

NONE = 0.35  # how often a site loses nothing
ALL = 0.1  # how often a site that may lose all units does


def drawn_units(sites: Sites, rng: Random) -> dict[str, tuple[int, ...]]:
    """Units of every site: none, one, all but one, all where that is allowed, or some."""
    removed = {site.name: _units(site, rng) for site in sites}
    if sites.sites and not any(removed.values()):
        site = rng.choice(sites.sites)
        removed[site.name] = _some(site, 1, rng)
    return {name: units for name, units in removed.items() if units}


def _units(site: Site, rng: Random) -> tuple[int, ...]:
    in_each = site.units // site.blocks
    draw = rng.random()
    if draw < NONE:
        return ()
    if site.droppable and draw > 1 - ALL:
        return tuple(range(site.units))
    counts = {1, in_each - 1, rng.randrange(in_each), rng.randrange(in_each)} & set(range(in_each))
    return _some(site, rng.choice(sorted(counts)), rng)


def _some(site: Site, count: int, rng: Random) -> tuple[int, ...]:
    """So many units of every block."""
    in_each = site.units // site.blocks
    if in_each <= count:
        return ()
    starts = range(0, site.units, in_each)
    return tuple(start + unit for start in starts for unit in sorted(rng.sample(range(in_each), count)))


def removable_share(sites: Sites, model: nn.Module) -> float:
    """The share of the model's parameters that belong to a unit of some site."""
    fixed = {name: torch.ones(tensor.shape, dtype=torch.bool) for name, tensor in model.named_parameters()}
    total = sum(mask.numel() for mask in fixed.values())
    for axis in (axis for site in sites for axis in site.axes if axis.tensor in fixed):
        fixed[axis.tensor].index_fill_(axis.axis, torch.tensor(axis.positions, dtype=torch.long), False)
    return 1.0 - sum(int(mask.sum()) for mask in fixed.values()) / max(total, 1)
