"""Tables of figures in a terminal of the usual width."""

import pytest
from rich.console import Console

from secateur.cli.comparing import compared
from secateur.result import Latency, Measurement

NAMES = (
    "parameters",
    "MACs per row",
    "size of the weights",
    "peak activations per row",
    "latency, 1,024 rows",
    "test average_precision",
)


def measurement(median_ms: float, spread_ms: float) -> Measurement:
    latency = Latency(median_ms, spread_ms, batch_size=1024, threads=2, repeats=30)
    return Measurement(
        138_357_544, 15_470_314_496, 553_430_176, (latency,), {"test_average_precision": 0.1234}, (), {}, 25_690_112
    )


@pytest.mark.parametrize(("median_ms", "spread_ms"), [(0.0661, 0.0246), (0.000123, 0.0000246), (123456.7, 24601.2)])
def test_no_name_is_broken_beside_wide_figures(median_ms: float, spread_ms: float) -> None:
    console = Console(width=80)
    before = measurement(median_ms, spread_ms)
    with console.capture() as captured:
        console.print(compared("mine.py:task by dense: 12 of 24 units removed", before, before))
    rows = captured.get().splitlines()
    assert [row.strip().split("  ")[0] for row in rows[-len(NAMES) - 1 : -1]] == list(NAMES)
