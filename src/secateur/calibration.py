"""From data to statistics: one pass over the calibration data, watching units where they are read."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.fx import Node

from secateur.errors import DataError
from secateur.graph import Operator
from secateur.inference import evaluating
from secateur.reading import values_read
from secateur.result import Event
from secateur.sites import Read, Sites
from secateur.stats import Statistic
from secateur.task import Task
from secateur.tracing import trace

S = TypeVar("S", bound=Statistic)
Watch = Callable[[Event], None] | None


def calibrate(model: nn.Module, sites: Sites, task: Task, empty: S, *, watch: Watch = None) -> dict[str, S]:
    """For every site, a statistic of its units' outputs as the first layer that reads them sees them.

    One pass over the calibration data; memory does not grow with it.

    Raises:
        DataError: fewer than two rows of data.
    """
    traced = trace(model, task)
    seen = {site.name: empty for site in sites}
    taps = _taps(sites)
    rows = 0

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        for tap in taps.get(node.name, ()):
            seen[tap.site] = seen[tap.site].observe(values_read(args[tap.read.operand], tap.read, tap.units))
        return operator(*args)

    with evaluating(model):
        for number, batch in enumerate(task.batches("calibration")):
            arguments = task.arguments(batch)
            traced.run(arguments, around)
            rows += rows_in(arguments)
            if watch:
                watch(Event("calibrate", number + 1, _length(task)))
    if rows < 2:
        raise DataError(
            f"the calibration data has {rows} row; statistics need at least two, and hundreds to be of use."
        )
    return seen


def rows_in(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> int:
    """How many examples a model's arguments hold."""
    args, kwargs = arguments
    return next((len(v) for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.dim()), 0)


@dataclass(frozen=True)
class _Tap:
    """Where a site is watched."""

    site: str
    units: int
    read: Read


def _taps(sites: Sites) -> dict[str, list[_Tap]]:
    """The taps at every node: each site is watched at its first reader that is not a norm."""
    taps: dict[str, list[_Tap]] = defaultdict(list)
    for site in sites:
        read = next((read for read in site.reads if not read.is_norm), site.reads[0])
        taps[read.node].append(_Tap(site.name, site.units, read))
    return taps


def _length(task: Task) -> int:
    """How many batches the calibration data announces; 0 where it does not say."""
    source = task.calibration if task.calibration is not None else task.train
    try:
        return len(source)  # type: ignore[arg-type]
    except TypeError:
        return 0
