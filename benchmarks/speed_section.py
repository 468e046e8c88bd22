"""What half the multiply-adds give on the clock, as Markdown."""

from typing import Any

from benchmarks.sections import source, table

Result = dict[str, Any]


def speed(result: Result) -> str:
    """Latency and multiply-adds of every cut beside the original's."""
    rows = []
    for record in result["records"]:
        for number, multiple in enumerate(record["multiples"], 1):
            rows.append(
                [
                    f"{record['network']}, widths of {multiple}" if multiple > 1 else record["network"],
                    *_ratios(record, number),
                ]
            )
    sizes = list(result["records"][0]["torch_ms"])
    head = [
        "network",
        "MACs ÷",
        *(f"{engine}, batch {size} ÷" for engine in ("PyTorch", "ONNX Runtime") for size in sizes),
    ]
    return "\n".join(
        [
            "## Multiply-adds against the clock",
            "",
            "Networks cut to half their multiply-adds by `magnitude` over the whole model (BERT's residual width stays), every cut certified; one thread. "
            "Each figure is the original's divided by the cut one's; latencies in PyTorch are medians in turns. `widths of n`: what is left of every "
            "site is rounded to a multiple (`multiple_of`). A promise is missed where a latency's ratio is more than 20 % below that of the multiply-adds: marked *.",
            "",
            "**Read with care.** Other work ran on both cores. The networks were timed in turns in PyTorch, but their ONNX files one after the other: the ONNX columns "
            "can be off by a factor of two, as the encoder's show, whose widths hardly differ from row to row. They need a quiet machine before anything is concluded.",
            "",
            table(head, rows),
            "",
            source(result),
        ]
    )


def _ratios(record: Result, number: int) -> list[str]:
    promised = record["macs"][0] / record["macs"][number]
    times = [record[engine][size] for engine in ("torch_ms", "onnx_ms") for size in record[engine]]
    found = [time[0] / time[number] for time in times]
    return [f"{promised:.2f}", *(f"{ratio:.2f}{'*' if ratio < 0.8 * promised else ''}" for ratio in found)]
