"""Cost and quality of the network after every step of the line."""

from collections.abc import Sequence
from typing import Any

from secateur.report import figures
from secateur.report.charts import Series, line_chart
from secateur.report.markup import Content, Html, Row, badge, joined, section, table, tag
from secateur.report.outcome import LatencyKey, decisive, is_alone, latency_key, latency_name, quality_name
from secateur.result import TEST, Measurement, Result, Step

COLOURS = 4


def steps(result: Result[Any]) -> Html:
    """Charts of quality and cost, and a table with every number."""
    remarks = tag("p", " ".join(_remarks(result)), class_="note")
    return section("steps", "Cost and quality, step by step", _charts(result), _table(result), remarks)


def _charts(result: Result[Any]) -> Html:
    if len(result.steps) < 2:
        return Html("")
    several = len({step.round for step in result.steps[1:]}) > 1
    ticks = tuple(f"{step.round} {step.name}" if several and step.round else step.name for step in result.steps)
    costs = (
        Series("parameters", _shares([step.measurement.parameters for step in result.steps]), 1),
        Series("MACs", _shares([step.measurement.macs for step in result.steps]), 2),
    )
    name = quality_name(result.metric)
    quality = Series(name, tuple(step.measurement.quality.get(result.metric) for step in result.steps), 1)
    times = _times(result)
    charts = (
        line_chart(f"{name}, points", [quality], ticks, figures.score),
        line_chart("cost, share of the original", costs, ticks, figures.percent, from_zero=True),
        line_chart("latency, share of the original", times, ticks, figures.percent, from_zero=True) if times else "",
    )
    return tag("div", *charts, class_="charts")


def _remarks(result: Result[Any]) -> list[str]:
    """What a reader has to know to read the numbers rightly."""
    remarks = []
    if any(step.measurement.peak_activation_bytes for step in result.steps):
        remarks.append("Activations are the most memory that the values of one example take at once, weights left out.")
    if _keys(result):
        remarks.append("Latency is the median over repeated calls, ± half the interquartile range.")
    if any(step.seconds for step in result.steps):
        remarks.append("The time is counted from the start of the round.")
    if uncounted := sorted({name for step in result.steps for name in step.measurement.uncounted}):
        remarks.append(f"MACs leave out operators that have no rule: {', '.join(uncounted)}.")
    if result.controls:
        remarks.append(
            "The control has the same shape, but starts from random weights: it shows what the kept ones are worth."
        )
    return remarks


def _shares(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Each value as a share of the first, which is the original's; nothing where that is not known."""
    first = values[0]
    return tuple(value / first if first and value is not None else None for value in values)


def _times(result: Result[Any]) -> list[Series]:
    """Latencies as lines, where more than the two ends were measured."""
    keys = _keys(result)
    alone = is_alone(keys)
    lines = []
    for colour, key in enumerate(keys[:COLOURS], 1):
        shares = _shares([_latency(step.measurement, key) for step in result.steps])
        lines.append(Series(latency_name(key, alone=alone).removeprefix("latency, "), shares, colour))
    return [line for line in lines if sum(value is not None for value in line.values) > 2]


def _keys(result: Result[Any]) -> list[LatencyKey]:
    return sorted({latency_key(latency) for step in result.steps for latency in step.measurement.latency})


def _latency(measurement: Measurement, key: LatencyKey) -> float | None:
    return next((one.median_ms for one in measurement.latency if latency_key(one) == key), None)


def _table(result: Result[Any]) -> Html:
    keys = _keys(result)
    alone = is_alone(keys)
    shown = (*result.steps, *result.controls)
    found = dict.fromkeys(name for step in shown for name in step.measurement.quality)
    qualities = sorted(found, key=lambda name: (name not in decisive(result), name.startswith(TEST)))
    latencies = (latency_name(key, alone=alone).capitalize() for key in keys)
    titles = (quality_name(name).capitalize() for name in qualities)
    columns = ("Step", "Parameters", "MACs", "Size", "Activations", *latencies, *titles, "Time in round")
    rows = (_row(step, keys, qualities, is_control=step in result.controls) for step in shown)
    return table("The network after every step", columns, rows, numeric=range(1, len(columns)))


def _row(step: Step, keys: list[LatencyKey], qualities: list[str], *, is_control: bool) -> Row:
    found = step.measurement
    name = step.name.replace("_", " ")
    title: Content = f"round {step.round} · {name}" if step.round else name
    if is_control:
        title = joined((title, " ", badge("plain", "control")))
    quality = (
        f"{value:.2f}" if (value := found.quality.get(each)) is not None else figures.NOTHING for each in qualities
    )
    spent = figures.seconds(step.seconds) if step.seconds else figures.NOTHING
    costs = figures.exact(found.parameters), figures.exact(found.macs), figures.size(found.size_bytes)
    memory = figures.size(found.peak_activation_bytes) if found.peak_activation_bytes else figures.NOTHING
    return Row((title, *costs, memory, *(_time(found, key) for key in keys), *quality, spent))


def _time(measurement: Measurement, key: LatencyKey) -> str:
    for one in measurement.latency:
        if latency_key(one) == key:
            return f"{figures.three(one.median_ms)} ± {figures.rough(one.spread_ms / 2)}{figures.THIN}ms"
    return figures.NOTHING
