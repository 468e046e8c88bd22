"""What a run changed, taken from its result: the rounds that count, and what was measured in the same way twice."""

from dataclasses import dataclass
from typing import Any

from secateur.report import figures
from secateur.result import TEST, Latency, Result, Round

LatencyKey = tuple[str, int, int]

KEPT = ("fold", "mask")  # what is done to layers that stay, or went before


@dataclass(frozen=True)
class Speed:
    """One latency before and after, measured in the same way."""

    before: Latency
    after: Latency

    @property
    def is_clear(self) -> bool:
        """Whether the difference is larger than what the repeated calls vary by."""
        reach = (self.before.spread_ms + self.after.spread_ms) / 2
        return abs(self.before.median_ms - self.after.median_ms) > reach and self.after.median_ms > 0

    @property
    def ratio(self) -> float:
        """How many times faster it became."""
        return self.before.median_ms / self.after.median_ms


def kept_rounds(result: Result[Any]) -> tuple[Round, ...]:
    """The rounds that made the final network."""
    return tuple(one for one in result.rounds if one.kept)


def gone(result: Result[Any]) -> tuple[str, ...]:
    """How many units and layers went."""
    units, left = (sum(pair[side] for pair in result.widths.values()) for side in (0, 1))
    edits = [edit for one in kept_rounds(result) for edit in one.plan.layers]
    layers = figures.plural(sum(edit.action not in KEPT for edit in edits), "layer") + " taken out"
    of_units = f"{units - left:,} of {figures.plural(units, 'unit')} removed"
    return (*([of_units] if units or not edits else []), *([layers] if edits else []))


def speeds(result: Result[Any]) -> tuple[Speed, ...]:
    """Every latency that was measured for the original and for the final network, smallest batch first."""
    after = {latency_key(latency): latency for latency in result.final.latency}
    pairs = (Speed(before, after[key]) for before in result.original.latency if (key := latency_key(before)) in after)
    return tuple(sorted(pairs, key=lambda pair: pair.before.batch_size))


def latency_key(latency: Latency) -> LatencyKey:
    """What must agree before two latencies are compared."""
    return latency.engine, latency.batch_size, latency.threads


def latency_name(key: LatencyKey, *, alone: bool) -> str:
    """`latency, batch 1`; the engine and threads too where several were measured."""
    engine, batch_size, threads = key
    name = f"latency, batch\u00a0{batch_size}"  # no line ends before the number
    return name if alone else f"{name}, {engine}, {figures.plural(threads, 'thread')}"


def is_alone(keys: list[LatencyKey]) -> bool:
    """Whether all latencies were measured with one engine and one number of threads."""
    return len({(engine, threads) for engine, _, threads in keys}) < 2


def decisive(result: Result[Any]) -> tuple[str, ...]:
    """The names of the quality that decides, in points: on the test data, then on the validation data."""
    return TEST + result.metric, result.metric


def quality_name(name: str) -> str:
    """A figure's name with the data it is from."""
    return f"test {name.removeprefix(TEST)}" if name.startswith(TEST) else f"validation {name}"
