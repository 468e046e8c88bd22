"""The examples that stand for units, and the maps that the units make of pictures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.calibration import Watch, observe
from secateur.explaining.order import check_same, marks_of
from secateur.explaining.outputs import Recorded
from secateur.explaining.showing import Show
from secateur.explanation import Example, Picture
from secateur.homology import Cloud
from secateur.scores import Points
from secateur.sites import Sites
from secateur.task import Task, rows_in

PICTURE, MAP = 48, 24  # pixels along the longer side of what is kept

Place = tuple[str, int, int]  # a site, a layer that makes it, a unit among those shown
Maps = dict[Place, dict[int, Float[ndarray, "height width"]]]


def examples_of(task: Task, wanted: Iterable[int], recorded: Recorded, show: Show) -> dict[int, Example]:
    """The wanted examples by their numbers, from one reading of the calibration data.

    Raises:
        DataError: the data is not what it was when outputs were recorded.
    """
    needed, found, start = frozenset(wanted), dict[int, Example](), 0
    for batch in task.batches("calibration"):
        marks = marks_of(task.arguments(batch))
        check_same(recorded.marks[start : start + len(marks)], marks, start)
        for number in sorted(needed & set(range(start, start + len(marks)))):
            found[number] = _small(show(batch, number - start, number))
        start += len(marks)
    check_same(recorded.marks[start:], np.zeros(0), start)
    return found


def maps_of(
    model: nn.Module, sites: Sites, task: Task, look: Points, wanted: Mapping[Place, tuple[int, ...]], watch: Watch
) -> Maps:
    """The wanted maps of each place, by their examples; none of units that have a single number."""
    at: dict[int, list[Place]] = defaultdict(list)
    for place, numbers in wanted.items():
        for number in numbers:
            at[number].append(place)
    found: Maps = defaultdict(dict)
    start = 0

    def see(batch: Any, seen: dict[str, tuple[Cloud, ...]]) -> None:
        nonlocal start
        rows = rows_in(task.arguments(batch))
        for number in range(start, start + rows):
            for place in at.get(number, ()):
                site, layer, unit = place
                drawn = _unfolded(seen[site][layer].parts[0][number - start, unit])
                if drawn.size > 1:
                    found[place][number] = drawn
        start += rows

    observe(model, sites, task, Points(_folded, look.tap), see, watch=watch)
    return found


def _folded(maps: Float[Tensor, "examples units height width"], _: Tensor | None) -> Float[Tensor, "examples units _"]:
    """Small maps in a row each, behind their height and width, since a point has no shape."""
    size = min(maps.shape[-2], MAP), min(maps.shape[-1], MAP)
    small = F.adaptive_avg_pool2d(maps.float(), size).flatten(2)
    return torch.cat([small.new_tensor(size).expand(*small.shape[:2], 2), small], 2)


def _unfolded(row: Float[Tensor, " entries"]) -> Float[ndarray, "height width"]:
    height, width = (int(side) for side in row[:2])
    return row[2:].reshape(height, width).cpu().numpy()


def _small(example: Example) -> Example:
    """The example, with no more pixels than are shown."""
    match example.content:
        case Picture(pixels=pixels) if max(pixels.shape[:2]) > PICTURE:
            longest = max(pixels.shape[:2])
            height, width = (max(round(side * PICTURE / longest), 1) for side in pixels.shape[:2])
            image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
            small = F.adaptive_avg_pool2d(image, (height, width))[0].permute(1, 2, 0)
            return replace(example, content=Picture(small.round().to(torch.uint8).numpy()))
    return example
