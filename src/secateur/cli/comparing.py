"""Tables of what networks cost and how well they do."""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.text import Text

from secateur.cli.tables import Cell, table
from secateur.plan import Certificate
from secateur.report import figures
from secateur.report.outcome import quality_name
from secateur.result import TEST, Fold, Latency, Measurement

_IN_POINTS = ("accuracy", "r2", "f1", "matthews", "pearson", "spearman")
_GOOD, _BAD = "green", "red"
_BAR = 20  # characters
_MEMORY = "peak activations per row"


def compared(title: str, before: Measurement, after: Measurement) -> RenderableType:
    """Two networks side by side, and the change."""
    rows: list[tuple[Cell, ...]] = [
        _cost("parameters", before.parameters, after.parameters),
        _cost("MACs per row", before.macs, after.macs),
        (
            "size of the weights",
            *(figures.size(m.size_bytes) for m in (before, after)),
            _change(before.size_bytes, after.size_bytes),
        ),
        *_memories(before, after),
        *(_latencies(*pair) for pair in zip(before.latency, after.latency, strict=False)),
        *(
            _quality(name, before.quality[name], after.quality[name])
            for name in before.quality
            if name in after.quality
        ),
    ]
    return table(title, ("", "Before", "After", "Change"), rows, numeric=(1, 2, 3))


def measured(title: str, measurement: Measurement, split: str) -> RenderableType:
    """One network's figures."""
    rows: list[tuple[Cell, ...]] = [
        ("parameters", f"{measurement.parameters:,}"),
        ("MACs per row", f"{measurement.macs:,}"),
        *_shares(measurement),
        ("size of the weights", figures.size(measurement.size_bytes)),
        *((_MEMORY, figures.size(size)) for size in [measurement.peak_activation_bytes] if size),
        *((_name(latency), _time(latency)) for latency in measurement.latency),
        *((f"{split} {name}", figures.three(value)) for name, value in measurement.quality.items()),
    ]
    if measurement.uncounted:
        rows.append(("not counted in MACs", ", ".join(measurement.uncounted)))
    return table(title, ("", "Figure"), rows, numeric=(1,))


def widths(found: dict[str, tuple[int, int]]) -> RenderableType:
    """Every site's units before and after, with a bar for what stays."""
    rows = (
        (name, f"{before:,}", f"{after:,}", figures.percent(after / before), "█" * -(-after * _BAR // before))
        for name, (before, after) in found.items()
    )
    return table("Units at every site", ("Site", "Before", "After", "Stay", ""), rows, numeric=(1, 2, 3))


def proven(certificates: Iterable[Certificate]) -> str:
    """The worst of some certificates in one line."""
    worst = max(certificates, key=lambda one: one.relative_difference / one.tolerance)
    found = worst.relative_difference
    difference = f"to {found:.1e} of the largest output" if found else "bit for bit"
    about = f"allowed {worst.tolerance:.0e}; {worst.dtype}; {worst.inputs}"
    return f"every cut equals the silenced original {difference} ({about})"


def refused(folds: Iterable[tuple[int, Fold]]) -> list[str]:
    """The folds of rounds that the guard did not let through as asked."""
    return [
        f"round {number}, {fold.layer}: {fold.asked} refused, {fold.used} used: {fold.reason}"
        for number, fold in folds
        if fold.used != fold.asked
    ]


def _cost(name: str, before: float, after: float) -> tuple[Cell, ...]:
    return name, f"{before:,}", f"{after:,}", _change(before, after)


def _shares(measurement: Measurement) -> Iterator[tuple[Cell, ...]]:
    """The multiply-adds of every operator, where there is more than one, largest first."""
    found = sorted(measurement.macs_by_operator.items(), key=lambda item: -item[1])
    for name, macs in found if len(found) > 1 else ():
        yield f"  of which {name}", f"{macs:,}"


def _memories(before: Measurement, after: Measurement) -> Iterator[tuple[Cell, ...]]:
    sizes = before.peak_activation_bytes, after.peak_activation_bytes
    if all(sizes):
        yield _MEMORY, *(figures.size(size) for size in sizes), _change(*sizes)


def _change(before: float, after: float) -> Text:
    return Text(figures.change(before, after), style=_GOOD if after < before else "")


def _latencies(before: Latency, after: Latency) -> tuple[Cell, ...]:
    return _name(before), _time(before), _time(after), _change(before.median_ms, after.median_ms)


def _name(latency: Latency) -> str:
    return f"latency, {figures.plural(latency.batch_size, 'row')}"


def _time(latency: Latency) -> str:
    return f"{figures.three(latency.median_ms)} ± {figures.rough(latency.spread_ms / 2)} ms"


def _quality(name: str, before: float, after: float) -> tuple[Cell, ...]:
    if name.removeprefix(TEST) not in _IN_POINTS:
        return quality_name(name), figures.three(before), figures.three(after), figures.change(before, after)
    first, last, difference = figures.points(before, after)
    style = _GOOD if after > before else _BAD if after < before - 1 else ""
    return quality_name(name), first, last, Text(f"{difference} points", style=style)
