"""What the chosen units put out for every example, and at which of them the largest gap lies."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import nn

from secateur.calibration import Watch, observe
from secateur.errors import DataError
from secateur.explaining.choosing import Chosen
from secateur.explaining.order import marks_of
from secateur.explanation import Gap, Outputs
from secateur.homology import Cloud, deaths
from secateur.scores import Points
from secateur.sites import Site, Sites, TensorAxis
from secateur.task import Task

Values = Float[ndarray, "examples units"]


@dataclass(frozen=True, eq=False)
class Recorded:
    """The outputs of the chosen units behind every layer that makes them, and a mark of each example."""

    values: Mapping[str, tuple[Values, ...]]
    marks: Float64[ndarray, " examples"]


def record(model: nn.Module, sites: Sites, task: Task, look: Points, watch: Watch) -> Recorded:
    """The outputs of all units of some sites, in one pass over the calibration data.

    Raises:
        DataError: some examples have no output, such as texts of padding alone.
    """
    parts: dict[str, list[tuple[Cloud, ...]]] = defaultdict(list)
    marks: list[Float64[ndarray, " rows"]] = []

    def see(batch: Any, seen: dict[str, tuple[Cloud, ...]]) -> None:
        marks.append(marks_of(task.arguments(batch)))
        for name, clouds in seen.items():
            parts[name].append(clouds)

    observe(model, sites, task, look, see, watch=watch)
    values = {name: tuple(map(_joined, zip(*found, strict=True))) for name, found in parts.items()}
    recorded = Recorded(values, np.concatenate(marks))
    _check_complete(recorded)
    return recorded


def narrowed(sites: Sites, chosen: Mapping[str, Chosen]) -> Sites:
    """The sites as if they had the chosen units alone, in their order; good for watching, not for cutting."""
    return Sites(tuple(_narrowed(sites[name], found.units) for name, found in chosen.items()))


def outputs_of(layer: str, values: Float[ndarray, " examples"], count: int) -> Outputs:
    """A unit's outputs, with so many examples at each of the places that tell most; ties go by their numbers."""
    rising, falling = np.argsort(values, kind="stable"), np.argsort(-values, kind="stable")
    ordered = values[rising]
    gaps = np.diff(ordered)
    place = int(gaps.argmax()) + 1 if len(gaps) and gaps.max() > 0 else len(values)
    gap = Gap(float(ordered[place - 1]), float(ordered[place])) if place < len(values) else None
    return Outputs(
        layer=layer,
        values=values,
        deaths=deaths(torch.from_numpy(values)[:, None, None])[0].numpy(),
        gap=gap,
        lowest=_numbers(rising[:count]),
        below=_numbers(falling[len(values) - place :][:count]) if gap else (),
        above=_numbers(rising[place:][:count]),
        highest=_numbers(falling[:count]),
    )


def _joined(clouds: tuple[Cloud, ...]) -> Values:
    """One array of what was seen batch by batch."""
    return torch.cat([part[..., 0] for cloud in clouds for part in cloud.parts]).cpu().numpy()


def _check_complete(recorded: Recorded) -> None:
    for name, layers in recorded.values.items():
        lacking = len(recorded.marks) - min(map(len, layers))
        if lacking:
            found = f"{lacking} of {len(recorded.marks)} examples have no token that counts"
            raise DataError(f"{name}: {found}; leave texts out that are padding alone.")


def _narrowed(site: Site, units: tuple[int, ...]) -> Site:
    return replace(site, units=len(units), made_by=tuple(_of(axis, units) for axis in site.made_by))


def _of(axis: TensorAxis, units: tuple[int, ...]) -> TensorAxis:
    return replace(axis, positions=tuple(entry for unit in units for entry in axis.entries(unit)))


def _numbers(order: Any) -> tuple[int, ...]:
    return tuple(order.tolist())
