"""What operator calls take on one device: measured when they are first asked for, then kept in a file."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from secateur.errors import FileError
from secateur.files import reading, replacing
from secateur.programs import FAILURES
from secateur.timing.axes import axes_of, resized
from secateur.timing.calls import Call
from secateur.timing.grid import around
from secateur.timing.replaying import work_of
from secateur.timing.stopwatch import Work

FORMAT = 1
_log = logging.getLogger(__name__)


@dataclass
class Table:
    """The time of every call that was asked for, in calls of a reference; grows as more are asked for.

    `time` says how long a piece of work takes. `times` has a number for every key; None where the call cannot be made
    on its own. `path` is the file that `save` writes; without one nothing is kept.
    """

    time: Callable[[Work], float]
    device: torch.device
    path: Path | None = None
    times: dict[str, float | None] = field(default_factory=dict)
    measured: int = 0

    def total(self, calls: Iterable[Call]) -> float:
        """What some calls take together."""
        return sum(self.of(call) for call in calls)

    def of(self, call: Call) -> float:
        """What a call takes: multilinear between the sizes that are measured; 0 where it cannot be made alone."""
        axes = axes_of(call)
        corners = around([axis.size for axis in axes])
        return sum(weight * self._measured(resized(call, axes, sizes)) for sizes, weight in corners)

    def _measured(self, call: Call) -> float:
        key = call.key
        if key not in self.times:
            self.measured += 1
            self.times[key] = _timed(call, self.device, self.time)
        return self.times[key] or 0.0

    def save(self) -> None:
        """Write what is known to the file, together with what others have written there meanwhile."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.times = {**read(self.path), **self.times}
            with replacing(self.path) as draft:
                draft.write_text(json.dumps({"format": FORMAT, "times": self.times}, indent=0), encoding="utf-8")
        except (OSError, FileError) as error:
            _log.warning("the table of operators' times is not kept: %s", error)


def read(path: Path) -> dict[str, float | None]:
    """The times in a file; none where it is missing, or damaged, which is logged."""
    if not path.exists():
        return {}
    try:
        with reading(path) as source:
            return _checked(json.loads(source.read_text(encoding="utf-8")))
    except (FileError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s: not a table of operators' times (%s); they are measured anew.", path, error)
        return {}


def _checked(data: Mapping[str, Any]) -> dict[str, float | None]:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}")
    return {str(key): None if value is None else float(value) for key, value in data["times"].items()}


def _timed(call: Call, device: torch.device, time: Callable[[Work], float]) -> float | None:
    try:
        return time(work_of(call, device))
    except FAILURES as error:
        _log.info("%s cannot be timed alone: %s", call.target, error)
        return None
