"""How right predicted latencies are, as Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.sections import source, table

Result = dict[str, Any]


def cost_model(result: Result) -> str:
    """The errors of the table, of multiply-adds alone, and of a line through them, for every network and batch size."""
    records = result["records"]
    errors = [_errors(record["plans"]) for record in records]
    together = [[error for one in errors for error in one[kind]] for kind in range(3)]
    rows = [
        [record["network"], str(record["batch_size"]), *_figures(one), *_seconds(record)]
        for record, one in zip(records, errors, strict=True)
    ]
    rows.append([f"all {len(together[0])} plans", "", *_figures(together), "", "", ""])
    head = ["network", "rows", "table", "90 % of plans below", "MACs", "line", "s, original", "s, first", "s, known"]
    return "\n".join(
        [
            "## Latency predicted before a cut",
            "",
            "Random plans (every site loses a share of its own) for networks with random weights, in PyTorch on one thread: the cut network's share of the original's time as "
            "`clock_for` predicts it beside the share measured, original and cut in turns, in seconds of the processor, since other work ran. Each "
            "network began with an empty table of operators. `table`: the median error of the prediction, and the error that nine plans in ten stay below; `MACs`: the median error when the share of the "
            "multiply-adds is taken for the share of the time; `line`: when a straight line is fitted to the measured shares of the network's other plans. "
            "Seconds: for the clock with the original's operators, for a plan whose operators are partly new, and for the same again.",
            "",
            table(head, rows),
            "",
            source(result),
        ]
    )


def _errors(plans: Sequence[Result]) -> tuple[list[float], list[float], list[float]]:
    measured = np.array([plan["measured"] for plan in plans])
    macs = np.array([plan["macs"] for plan in plans])
    kinds = (np.array([plan["predicted"] for plan in plans]), macs, _lines(macs, measured))
    table_, alone, line = ([float(error) for error in np.abs(kind / measured - 1)] for kind in kinds)
    return table_, alone, line


def _lines(macs: Any, measured: Any) -> Any:
    """Every plan's share on the straight line through all the others."""
    found = []
    for number in range(len(macs)):
        others = np.arange(len(macs)) != number
        slope, start = np.polyfit(macs[others], measured[others], 1)
        found.append(start + slope * macs[number])
    return np.array(found)


def _figures(errors: Sequence[Sequence[float]]) -> list[str]:
    medians = [f"{100 * statistics.median(kind):.1f} %" for kind in errors]
    return [medians[0], f"{100 * float(np.quantile(errors[0], 0.9)):.0f} %", *medians[1:]]


def _seconds(record: Result) -> list[str]:
    plans = record["plans"]
    later = (statistics.fmean(plan[key] for plan in plans) for key in ("seconds", "seconds_known"))
    return [f"{record['seconds_original']:.2f}", *(f"{each:.3f}" for each in later)]
