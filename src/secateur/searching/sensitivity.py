"""How far the output moves when one site alone loses units: what tells where a network can spare them.

Removed units are put in as the kept ones predict them (least squares, as compensation would have it) where one layer
reads them, and silenced elsewhere. Nothing is cut or traced for it: the original's graph runs with other values.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor, nn
from torch.fx import Node

from secateur.calibration import calibrate
from secateur.compensation.batches import argument_batches
from secateur.graph import Operator, Traced
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.reading import silenced
from secateur.result import Event
from secateur.scores import Reads, Scores
from secateur.sites import Read, Site, Sites
from secateur.task import Arguments, Task
from secateur.tracing import trace

SHARES = (0.25, 0.5, 0.75, 0.9)
ROWS = 64  # examples that the output is compared on
WIDEST = 4096  # units of a site that are predicted from each other; its products take 134 MB
_RIDGE = 1e-4  # of the mean variance

Watch = Callable[[Event], None] | None


@dataclass(frozen=True)
class Curve:
    """The output's mean distance from the original's when each of `SHARES` of a site's units has gone.

    `mended` says that what went was predicted from what stayed.
    """

    distances: tuple[float, ...]
    mended: bool


@dataclass(frozen=True)
class Products:
    """Sums of units' values, and of products of all pairs of them."""

    count: int
    total: Float64[Tensor, " units"]
    pairs: Float64[Tensor, "units units"]

    @staticmethod
    def empty() -> "Products":
        """Nothing seen yet."""
        return Products(0, torch.zeros(0, dtype=torch.float64), torch.zeros(0, 0, dtype=torch.float64))

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> Self:
        """The sums with more rows; very wide sites are passed over."""
        if rows.shape[1] > WIDEST:
            return self
        total, pairs = rows.double().sum(0), (rows.T @ rows).double()
        if self.count:
            total, pairs = self.total + total, self.pairs + pairs
        return type(self)(self.count + len(rows), total, pairs)

    def predicting(self, gone: Int64[Tensor, " gone"], kept: Int64[Tensor, " kept"]) -> tuple[Tensor, Tensor]:
        """Weights [gone, kept] and constants [gone] of the least-squares prediction of some units from others."""
        mean = self.total / self.count
        covariance = self.pairs / self.count - torch.outer(mean, mean)
        among = covariance[kept][:, kept]
        ridge = _RIDGE * among.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
        damped = among + ridge * torch.eye(len(kept), dtype=among.dtype, device=among.device)
        weights = torch.linalg.lstsq(damped, covariance[kept][:, gone])
        found = weights.solution.T
        return found, mean[gone] - found @ mean[kept]


@dataclass(frozen=True)
class _Original:
    """The untouched network on the rows that outputs are compared on."""

    traced: Traced
    sites: Sites
    task: Task
    batches: tuple[Arguments, ...]
    outputs: tuple[Any, ...]

    def distance(self, run: Callable[[Arguments], Any]) -> float:
        """The mean distance of what a run puts out."""
        texts = texts_of(self.traced)
        found = 0.0
        for arguments, wanted in zip(self.batches, self.outputs, strict=True):
            output = texts.hidden(run(arguments), wanted, arguments)
            found += float(self.task.distance(output, wanted, 1.0))
        return found / len(self.batches)


def sensitivity(
    model: nn.Module, sites: Sites, task: Task, scores: Scores, *, rows: int = ROWS, watch: Watch = None
) -> dict[str, Curve]:
    """For every site, how far the output moves as its lowest scores go, everything else as it is.

    Raises:
        DataError: the calibration data is empty, or NaN.
    """
    traced = trace(model, task)
    seen: Mapping[str, Products] = calibrate(model, sites, task, Reads(Products.empty))
    batches = tuple(argument_batches(task, rows))
    curves: dict[str, Curve] = {}
    with evaluating(model) as predict:
        original = _Original(traced, sites, task, batches, tuple(predict(batch) for batch in batches))
        for number, site in enumerate(sites):
            curves[site.name] = _curve(original, site, seen[site.name], scores.values[site.name])
            if watch:
                watch(Event("sensitivity", number + 1, len(sites)))
    return curves


def _curve(original: _Original, site: Site, seen: Products, values: Tensor) -> Curve:
    read = _alone(site, seen)
    distances = []
    for gone, kept in _parts(site, values):
        if read is None:
            run = partial(silenced, original.traced, original.sites, {site.name: tuple(gone.tolist())})
        else:
            run = partial(_predicted, original.traced, read, (gone, kept), seen.predicting(gone, kept))
        distances.append(max(original.distance(run), 0.0))
    return Curve(tuple(distances), mended=read is not None)


def _alone(site: Site, seen: Products) -> Read | None:
    """The one place where a weight sums up a site's units, if there is one."""
    if len(site.reads) != 1 or site.normalised_by or not seen.count:
        return None
    (read,) = site.reads
    return read if read.weight is not None and not read.is_norm and len(read.axes) == 1 else None


def _parts(site: Site, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The units that go and those that stay, for each share, as many of every block."""
    order = values.double().cpu().reshape(site.blocks, -1).argsort(dim=1, stable=True)
    order = order + torch.arange(site.blocks)[:, None] * site.steps
    for share in SHARES:
        steps = min(round(share * site.steps), site.steps - 1)
        yield order[:, :steps].flatten(), order[:, steps:].flatten()


def _predicted(
    traced: Traced, read: Read, parts: tuple[Tensor, Tensor], prediction: tuple[Tensor, Tensor], arguments: Arguments
) -> Any:
    """The network's output with some units as others predict them, where they are read."""

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        if node.name == read.node:
            value = _put(args[read.operand], read, parts, prediction)
            args = (*args[: read.operand], value, *args[read.operand + 1 :])
        return operator(*args)

    return traced.run(arguments, around)


def _put(value: Tensor, read: Read, parts: tuple[Tensor, Tensor], prediction: tuple[Tensor, Tensor]) -> Tensor:
    (axis,) = read.axes
    copies = value.shape[axis] // read.sizes[0]
    entries = torch.tensor(read.entries).reshape(-1, read.repeat)
    moved = value.movedim(axis, -1).unflatten(-1, (copies, read.sizes[0]))
    gone, kept = (entries[part].flatten() for part in parts)
    shown = moved[..., kept].unflatten(-1, (-1, read.repeat))
    weights, constant = (part.to(value) for part in prediction)
    found = torch.einsum("...kr,gk->...gr", shown, weights) + constant[:, None]
    moved = moved.clone()
    moved[..., gone] = found.flatten(-2)
    return moved.flatten(-2).movedim(-1, axis)
