"""What several processes have seen, each of every n-th batch, as one of them would have seen it of all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch

from secateur.homology import Cloud
from secateur.processes import ALONE, moved
from secateur.scores import Blocks, Entering, Look, Reads, Rectified
from secateur.stats import Merging
from secateur.task import Task

Seen = dict[Look, dict[str, Any]]
Seeing = Callable[[Task], tuple[Seen, str]]  # and a mark that tells the data from others


def seen_by_all(looks: Sequence[Look], task: Task, see: Seeing, device: torch.device) -> Seen:
    """What looks see, the task's processes taking the batches in turns; the same in all of them.

    Where a look's statistic cannot be merged, each process looks at all batches.

    Raises:
        SettingsError: the processes' data differ.
    """
    if task.processes.is_alone or not all(_can_merge(look) for look in looks):
        return see(replace(task, processes=ALONE))[0]

    def own() -> tuple[list[dict[str, Any]], str]:
        seen, mark = see(task)
        return [seen[look] for look in looks], mark  # a look may be a function that cannot be sent

    found = task.processes.each(own)
    task.processes.check_same("the calibration data", [mark for _, mark in found])
    parts = zip(*(by_look for by_look, _ in found), strict=True)
    return {
        look: {name: moved(_merged([part[name] for part in of_look]), device) for name in of_look[0]}
        for look, of_look in zip(looks, parts, strict=True)
    }


def _can_merge(look: Look) -> bool:
    match look:
        case Reads() | Entering() | Rectified() | Blocks():
            return isinstance(look.empty(), Merging)
    return True


def _merged(parts: Sequence[Any]) -> Any:
    """One statistic, or a tuple of them, from those of all processes."""
    if isinstance(parts[0], tuple):
        return tuple(_merged(some) for some in zip(*parts, strict=True))
    if isinstance(parts[0], Cloud):
        return Cloud.in_turns(parts)
    return reduce(lambda one, other: one.merge(other), parts)
