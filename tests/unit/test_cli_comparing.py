"""What a run found, in a terminal of the usual width."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fixtures.report_sample import sample
from secateur.cli.comparing import compared
from secateur.cli.running import Finished
from secateur.cli.summary import summary
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


def test_places_that_stay_for_one_reason_share_a_line(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("")
    blocks = tuple((f"layer2.{block}.conv2", 16, "pad: none itself") for block in range(9))
    result = replace(
        sample(), settings={"data": "rows"}, pinned=(*blocks, ("head", 16, "output"), ("layer3", 1, "pad"))
    )
    console = Console(width=80)
    with console.capture() as captured:
        console.print(*summary(Finished(result, {"report": str(report)}, interrupted=False)))
    written = captured.get()
    assert "layer2.0.conv2 and 8 more, each: 16 units, pad: none itself" in written
    assert "head: 16 units, output" in written and "layer3: 1 unit, pad" in written
