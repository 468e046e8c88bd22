"""Zero-dimensional persistent homology of many point clouds at once, and the clouds that units' outputs make.

In the Vietoris-Rips filtration every point is born at 0 as a component of its own, and components merge ("die") at the
edge lengths of the minimum spanning tree, which are also the heights of single linkage. On the line these are the gaps
between sorted points.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor

from secateur.errors import DataError, SettingsError, UnknownNameError

Summary = Literal["max", "total", "entropy", "quantile"]
SUMMARIES = ("max", "total", "entropy", "quantile")
PLACES = ("first", "last", "mean")
_MEMORY = 2**28  # bytes of distances at a time
_CLOUDS = 8  # clouds at a time: more of them leave no place for their distances near the processor
_MANY = 8  # dimensions from which distances are taken in float32 first
_CLOSE = 0.01  # of the largest squared distance from the middle; below, float32 loses too much of a squared distance
_ENTRIES = 2**20  # points on lines at a time, for the same reason


def deaths(clouds: Float[Tensor, "points units dims"]) -> Float[Tensor, "units points-1"]:
    """At which distances the components of every unit's cloud merge, from the smallest up.

    On the line it costs one sort; in more dimensions O(points² · dims) for each unit (Prim's algorithm, for several
    units at once, on the CPU in float64: distances of coinciding points come out within 1e-7 of the cloud's size from
    zero; in eight dimensions or more, points of float32 that are all apart are done in float32, within 1e-5).
    """
    return torch.cat([_ordered(merges) for merges in _merges(clouds)])


def summary(clouds: Float[Tensor, "points units dims"], how: Summary, quantile: float) -> Float64[Tensor, " units"]:
    """One number for every unit's diagram; 0 where there is one point, or all coincide.

    `max` is the distance at which everything has merged, `total` the sum of all deaths, `entropy` the persistent
    entropy `-Σ p log p` with `p` each death's share of the total, `quantile` a quantile of the deaths.
    """
    points, units, _ = clouds.shape
    if points < 2:
        return torch.zeros(units, dtype=torch.float64, device=clouds.device)
    return torch.cat([_summarised(merges, how, quantile) for merges in _merges(clouds)])


def check(method: str, how: str, quantile: float) -> None:
    """Refuse a summary that a method cannot give.

    Raises:
        UnknownNameError: no such summary.
        SettingsError: the quantile is no share.
    """
    if how not in SUMMARIES:
        raise UnknownNameError(f"summary of {method}", how, SUMMARIES)
    if not 0.0 <= quantile <= 1.0:
        raise SettingsError(f"{method}: quantile is {quantile}, out of range; give a share from 0 to 1.")


@dataclass(frozen=True)
class Cloud:
    """What units put out, example by example; kept whole, since no sum stands for it.

    A part is [examples, units, dims] of one batch: of a float32 model 4 bytes for each example and unit on the line.
    """

    parts: tuple[Float[Tensor, "examples units dims"], ...] = ()

    def observe(self, rows: Float[Tensor, "examples units dims"]) -> "Cloud":
        """The cloud with these examples in it as well."""
        exact = rows.detach().to(torch.promote_types(rows.dtype, torch.float32), copy=True)
        return Cloud((*self.parts, exact))

    @staticmethod
    def in_turns(clouds: Sequence["Cloud"]) -> "Cloud":
        """One cloud from several that saw batches in turns, in the order of the batches."""
        turns = zip_longest(*(cloud.parts for cloud in clouds))
        return Cloud(tuple(part for turn in turns for part in turn if part is not None))

    @property
    def points(self) -> Float[Tensor, "points units dims"]:
        """All examples, in their order.

        Raises:
            DataError: an output is NaN or infinite, or there is no example.
        """
        if not any(len(part) for part in self.parts):
            raise DataError("no example has as many tokens as are asked for; use fewer positions, or longer texts.")
        points = torch.cat(self.parts)
        if bad := int((~torch.isfinite(points)).sum()):
            raise DataError(f"{bad} of {points.numel()} outputs are NaN or infinite; a cloud of them has no distances.")
        return points


def summaries(
    clouds: Mapping[str, Sequence[Cloud]], how: Summary, quantile: float = 0.95
) -> dict[str, Float64[Tensor, " units"]]:
    """For every site, the mean of its layers' summaries."""
    return {
        name: torch.stack([summary(cloud.points, how, quantile) for cloud in parts]).mean(0)
        for name, parts in clouds.items()
    }


@dataclass(frozen=True)
class Positions:
    """Which positions of an example make its point in a unit's cloud.

    `first` is the first token ([CLS]), `last` the last one, `mean` the mean over all tokens; `count` positions in a row
    give points of so many dimensions. Padding never counts: examples with fewer tokens are left out. Where units have
    maps, it is always the mean over the map; a unit without positions is taken as it is.
    """

    place: Literal["first", "last", "mean"] = "first"
    count: int = 1

    def __post_init__(self) -> None:
        if self.place not in PLACES:
            raise UnknownNameError("place", self.place, PLACES)
        if self.count < 1 or (self.count > 1 and self.place == "mean"):
            raise SettingsError(
                f"positions: {self.count} with place {self.place!r}; give 1 or more with 'first' or 'last', 1 with "
                "'mean'."
            )

    def __call__(
        self, maps: Float[Tensor, "examples units height width"], tokens: Bool[Tensor, "examples tokens"] | None
    ) -> Float[Tensor, "some units dims"]:
        """The point of every example; `tokens` says which positions are no padding, where that is known."""
        if maps.shape[-1] > 1:
            return _mean_map(maps, tokens)[..., None]
        rows = maps[..., 0]
        if rows.shape[-1] == 1:
            return rows
        if tokens is None or tokens.shape != rows[:, 0].shape:
            tokens = rows.new_ones(rows[:, 0].shape, dtype=torch.bool)
        found = tokens.sum(1)
        enough = found >= self.count
        rows, tokens, found = rows[enough], tokens[enough], found[enough]
        if self.place == "mean":
            return (rows * tokens[:, None]).sum(-1, keepdim=True) / found[:, None, None]
        number = tokens.cumsum(1) if self.place == "first" else tokens.flip(1).cumsum(1).flip(1)
        chosen = (tokens & (number <= self.count))[:, None].expand_as(rows)
        return rows[chosen].reshape(*rows.shape[:2], self.count)


def _mean_map(
    maps: Float[Tensor, "examples units height width"], tokens: Bool[Tensor, "examples tokens"] | None
) -> Float[Tensor, "some units"]:
    """The mean over each map; where it is as wide as a text has tokens, over those that are no padding."""
    if tokens is None or tokens.shape != (len(maps), maps.shape[-1]):
        return maps.mean((-2, -1))
    found = tokens.sum(1)
    some = found > 0
    return (maps.mean(-2) * tokens[:, None])[some].sum(-1) / found[some, None]


def _summarised(merges: Float[Tensor, "units merges"], how: Summary, quantile: float) -> Float64[Tensor, " units"]:
    match how:
        case "max":
            return merges.amax(-1).double()
        case "total":
            return merges.double().sum(-1)
        case "quantile":
            return _quantile(merges, quantile).double()
    assert how == "entropy"
    merges = merges.double()
    total = merges.sum(-1, keepdim=True)
    return torch.special.entr(merges / total.where(total > 0, 1.0)).sum(-1)


def _merges(clouds: Float[Tensor, "points units dims"]) -> Iterator[Float[Tensor, "some points-1"]]:
    """The deaths in no order, of some units at a time, in memory that the next ones may use too."""
    if clouds.shape[2] == 1:
        yield from _gaps(clouds[..., 0])
    else:
        for edges in _spanning(clouds):
            yield edges.to(clouds)


def _gaps(lines: Float[Tensor, "points units"]) -> Iterator[Float[Tensor, "some points-1"]]:
    """The gaps on every unit's line, from its lowest point on, of some units at a time; on the CPU in shared memory."""
    points = len(lines)
    parts = lines.split(max(_ENTRIES // max(points, 1), 1), 1)
    if lines.device.type != "cpu":
        yield from (_ordered(part.T).diff(dim=-1) for part in parts)
        return
    dtype = lines[:0].numpy().dtype
    rows = np.empty((parts[0].shape[1], points), dtype)
    gaps = np.empty((parts[0].shape[1], points - 1), dtype)
    for part in parts:
        few = slice(part.shape[1])
        np.copyto(rows[few], part.contiguous().numpy().T)  # two steps: quicker than across rows far apart
        rows[few].sort(-1)
        yield torch.from_numpy(np.subtract(rows[few, 1:], rows[few, :-1], out=gaps[few]))


def _spanning(clouds: Float[Tensor, "points units dims"]) -> Iterator[Float[Tensor, "some points-1"]]:
    """The edges of every unit's minimum spanning tree, of some units at a time.

    All of them share one piece of memory: a fresh one would cost more time than what is computed in it. Where there
    are many dimensions, few points are close: float32 then is precise enough, and half the time. Units with points that
    are close all the same are done once more.
    """
    count, units, dims = clouds.shape
    dtype = torch.float32 if clouds.dtype == torch.float32 and dims >= _MANY else torch.float64
    some = max(min(_MEMORY // (dtype.itemsize * count * count), _CLOUDS, units), 1)
    factors = torch.empty(2, some, count, dims + 2, dtype=dtype)
    squared = torch.empty(some, count, count, dtype=dtype)
    for part in clouds.split(some, 1):
        few = slice(part.shape[1])
        farthest = _square_distances_(squared[few], factors[:, few], part.transpose(0, 1))
        edges = torch.from_numpy(_tree(squared[few].numpy()))
        found = edges.clamp(min=0.0).sqrt()
        if dtype == torch.float32:
            apart = (edges > _CLOSE * farthest[:, None]).all(1) & edges.isfinite().all(1)
            if not apart.all():
                found[~apart] = torch.cat(list(_spanning(part[:, ~apart].double()))).float()
        yield found


def _square_distances_(
    squared: Float[Tensor, "units points points"],
    factors: Float[Tensor, "2 units points columns"],
    points: Float[Tensor, "units points dims"],
) -> Float[Tensor, " units"]:
    """Fills in those between all points of each unit, in one product: `|x|² + |y|² - 2 x·y`; the largest `|x|²`."""
    dims = points.shape[-1]
    left, right = factors
    centred = left[..., :dims].copy_(points)
    centred -= centred.mean(1, keepdim=True)
    norms = torch.linalg.vecdot(centred, centred)
    left[..., dims], left[..., dims + 1] = norms, 1.0
    torch.mul(centred, -2.0, out=right[..., :dims])
    right[..., dims], right[..., dims + 1] = 1.0, norms
    torch.bmm(left, right.mT, out=squared)
    return norms.amax(1)


def _tree(squared: Shaped[np.ndarray, "units points points"]) -> Shaped[np.ndarray, "units points-1"]:
    """The squared edges of every unit's minimum spanning tree, by Prim's algorithm on all units in step.

    What the tree has reached is at minus infinity, which stays the smallest when other distances come in; but where
    the bits of a number are read as a whole one, numbers below 0 are beyond all others. So is a point whose distance
    was rounded below 0: it comes last, and nobody misses it, since the tree has been where it lies.
    """
    units, count, _ = squared.shape
    rows, first = squared.reshape(-1, count), np.arange(units) * count  # of each unit
    nearest = rows[first]
    nearest[:, 0] = -np.inf
    unsigned = np.dtype(f"u{nearest.itemsize}")
    flat, bits, others = nearest.reshape(-1), nearest.view(unsigned), np.empty_like(nearest)
    edges = np.empty((count - 1, units), dtype=nearest.dtype)
    for step in range(count - 1):
        new = first + bits.argmin(1)
        edges[step] = flat[new]
        flat[new] = -np.inf
        np.take(rows, new, 0, out=others, mode="clip")  # the mode that needs no copy
        np.minimum(nearest, others, out=nearest)
    return edges.T


def _ordered(values: Float[Tensor, "units values"]) -> Float[Tensor, "units values"]:
    """Every row from the smallest up; numpy's sort is several times quicker than torch's on a CPU."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.contiguous().numpy(), -1))
    return values.sort(-1).values


def _quantile(values: Float[Tensor, "units values"], quantile: float) -> Float[Tensor, " units"]:
    """A quantile of each row, between its two nearest values; `torch.quantile` refuses rows as many as ours."""
    ordered = _ordered(values)
    place = quantile * (ordered.shape[1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, low], ordered[:, high], place - low)
