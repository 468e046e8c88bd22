"""From what every site is worth to scores that one order over all sites can be made of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.budget import Params, cost, plan_of
from secateur.scores import Scores
from secateur.searching.goal import Limit
from secateur.searching.sensitivity import SHARES, Curve
from secateur.sites import Site, Sites
from secateur.timing import Clock

_GRID = np.linspace(0.0, 1.0, 65)[1:]
_LEAST = 1e-9  # a distance that counts as none
_CHEAPEST = 1e-4  # of the whole: what costs next to nothing


@dataclass(frozen=True)
class Shape:
    """How a budget is spread over the sites.

    With `temper` 0 every site loses the same share; with 1 the share at which one more unit would move the output as
    much, for what it costs, as anywhere else; in between, between. `slope` spares late sites where it is above 0, early
    ones below; `bare` spares those whose loss no other unit can make up. With `own` nothing is spread: the method's own
    scores put the units of all sites in one order.
    """

    temper: float = 0.0
    slope: float = 0.0
    bare: float = 0.0
    own: bool = False


def prices(sites: Sites, limit: Limit, clock: Clock | None = None) -> dict[str, float]:
    """What half of a site's units cost, each site alone, as a share of the whole; never nothing.

    Milliseconds are predicted by the clock.
    """

    def of(removed: Mapping[str, tuple[int, ...]]) -> float:
        if clock is not None:
            return clock.after(plan_of(sites, removed)) if removed else clock.now()
        left = cost(sites, removed)
        return left.parameters if isinstance(limit, Params) else left.macs

    whole = of({})
    return {site.name: max((whole - of(_half(site, sites))) / whole, _CHEAPEST) for site in sites}


def spread(
    scores: Scores, sites: Sites, shape: Shape, curves: Mapping[str, Curve], price: Mapping[str, float]
) -> Scores:
    """Scores in which the units of every site are in their own order, and those of all sites in one."""
    if shape.own:
        return scores
    values = {
        site.name: _ranked(site, scores.values[site.name], _levels(site, shape, curves, price, place))
        for site, place in zip(sites, np.linspace(-1.0, 1.0, max(len(sites), 2)), strict=False)
    }
    return Scores(scores.method, values, comparable=True)


def _half(site: Site, sites: Sites) -> dict[str, tuple[int, ...]]:
    removed = {}
    for one in (site, *(sites[name] for name in site.twins if name in sites.names)):
        units = np.arange(one.units).reshape(one.blocks, -1)[:, : one.steps // 2]
        removed[one.name] = tuple(units.flatten().tolist())
    return removed


def _levels(
    site: Site, shape: Shape, curves: Mapping[str, Curve], price: Mapping[str, float], place: float
) -> Float64[np.ndarray, " grid"]:
    """The logarithm of the score at each share of a site's units, rising."""
    level = (1.0 - shape.temper) * np.log(_GRID)
    if shape.temper:
        slope = np.gradient(_along(curves[site.name]), _GRID) / price[site.name]
        level = level + shape.temper * np.log(np.maximum.accumulate(np.maximum(slope, _LEAST)))
    bare = shape.bare if curves and not curves[site.name].mended else 0.0
    found: Float64[np.ndarray, " grid"] = level + 1e-6 * _GRID + shape.slope * place + bare
    return found


def _along(curve: Curve) -> Float64[np.ndarray, " grid"]:
    """The distance at each share of the grid: straight between the measured ones where both are logarithms."""
    measured = np.maximum.accumulate(np.maximum(np.array(curve.distances), _LEAST))
    shares, distances = np.log([*SHARES, 1.0]), np.log([*measured, measured[-1] * 4])
    steepness = max((distances[1] - distances[0]) / (shares[1] - shares[0]), 1.0)
    first = distances[0] + steepness * (np.log(_GRID) - shares[0])
    between = np.interp(np.log(_GRID), shares, distances)
    found: Float64[np.ndarray, " grid"] = np.exp(np.where(np.log(_GRID) < shares[0], first, between))
    return found


def _ranked(site: Site, values: Tensor, levels: Float64[np.ndarray, " grid"]) -> Tensor:
    """The level of every unit: that of the share which has gone once it has."""
    order = values.double().cpu().reshape(site.blocks, -1).argsort(dim=1, stable=True).argsort(dim=1)
    shares = (order.numpy() + 1) / site.steps
    return torch.from_numpy(np.exp(np.interp(shares, _GRID, levels))).flatten()
