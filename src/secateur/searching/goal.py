"""What is asked of a search: how much may be left, and how much quality may go."""

from dataclasses import dataclass
from math import inf, isfinite

from secateur.budget import Latency, Macs, Params
from secateur.errors import SettingsError

Limit = Params | Macs | Latency


@dataclass(frozen=True)
class Goal:
    """A limit on what is left, on the points of validation quality lost, or on both.

    Without a `limit` the network with the fewest multiply-adds that keeps within `max_drop` is looked for.

    Raises:
        SettingsError: neither is given, or the drop is no number of points.
    """

    limit: Limit | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.limit is None and self.max_drop is None:
            raise SettingsError("the goal is empty; give a limit such as Macs(0.5), max_drop, or both.")
        if self.max_drop is not None and not (isfinite(self.max_drop) and self.max_drop >= 0):
            raise SettingsError(f"max_drop is {self.max_drop}; give points of validation quality, 0 or more.")

    @property
    def drop(self) -> float:
        """The points that may be lost; any where nothing is said."""
        return inf if self.max_drop is None else self.max_drop

    def __str__(self) -> str:
        """The goal in words."""
        words = []
        match self.limit:
            case Params(limit):
                words.append(f"{_amount(limit)} parameters left")
            case Macs(limit):
                words.append(f"{_amount(limit)} multiply-adds left")
            case Latency(limit, unit):
                rows, threads = self.limit.batch_size, self.limit.threads
                words.append(
                    f"{limit:g} {'of the' if unit == 'x' else 'ms'} latency left ({rows} rows, {threads} threads)"
                )
        if self.max_drop is not None:
            words.append(f"at most {self.max_drop:g} points lost")
        return ", ".join(words)


def _amount(limit: float | int) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{100 * limit:.4g} % of the"
