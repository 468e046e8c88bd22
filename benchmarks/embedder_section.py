"""A sentence embedder cut without labels and without training, as Markdown."""

from typing import Any

from benchmarks.sections import source, table

Result = dict[str, Any]


def embedder(result: Result) -> str:
    """Spearman's correlation after every cut, how steady scores are, and what the recipes give on the clock."""
    records, settings = result["records"], result["settings"]
    whole = next(record for record in records if record["part"] == "untouched")
    return "\n".join(
        [
            f"## {settings['title']}",
            "",
            f"all-MiniLM-L6-v2 as it is: {whole['parameters']:,} parameters, {whole['encoder']:,} of them in the encoder; Spearman's correlation on STS-B dev "
            f"{whole['spearman']:.2f}. Neurons of the MLPs and inner dimensions of attention go (as many in every head), the residual width stays. {settings['calibration']} "
            "plain sentences of STS-B's training part score and mend; no label is looked at and nothing is trained. `taylor` is left out: it needs a loss, so labels. "
            "`obce` at [CLS] scores as `pbce` does.",
            "",
            *_grid(records, whole, settings),
            *_stability(records),
            *_recipes(records, whole),
            source(result),
        ]
    )


def _grid(records: list[Result], whole: Result, settings: Result) -> list[str]:
    parts, hows = [], settings["compensations"]
    cuts = {str(record["cut"]): record["cut"] for record in records if record["part"] == "grid"}
    for key, cut in cuts.items():
        own = [record for record in records if record["part"] == "grid" and str(record["cut"]) == key]
        left = f"{100 * own[0]['encoder'] / whole['encoder']:.0f} % of the encoder's parameters and {100 * own[0]['macs'] / whole['macs']:.0f} % of the multiply-adds left"
        gone = " and ".join(f"{100 * share:.0f} % of the {kind}" for kind, share in cut.items())
        rows = [
            [_name(found["method"]), *(f"{found['every'][how]:.2f}" for how in hows)]
            for record in own
            for found in record["methods"]
        ]
        parts += [f"### Without {gone}: {left}", "", table(["method", *hows], rows), ""]
    if parts:
        parts = [
            f"In these tables every third pair is judged, on which the untouched model has {whole['every']:.2f}.",
            "",
            *parts,
        ]
    return parts


def _stability(records: list[Result]) -> list[str]:
    found = [each for record in records if record["part"] == "stability" for each in record["records"]]
    if not found:
        return []
    kinds = ("neurons", "attention")
    rows = [
        [
            _name(each["method"]),
            *(
                text
                for kind in kinds
                for text in (_number(each[kind]["correlation"]), f"{100 * each[kind]['overlap']:.0f} %")
            ),
        ]
        for each in found
    ]
    head = ["method", *(f"{kind}: {what}" for kind in kinds for what in ("rank correlation", "kept by both"))]
    about = "Two halves of the sentences, scored apart, when half of the units go; means over sites. By chance 50 % would be kept by both."
    return ["### How steady the scores are", "", about, "", table(head, rows), ""]


def _recipes(records: list[Result], whole: Result) -> list[str]:
    found = [record for record in records if record["part"] == "recipe"]
    if not found:
        return []
    sizes = list(found[0]["ms"])
    rows = [
        [
            f"{_name(record['method'])}, {record['rounds']} rounds, "
            + ", ".join(f"{kind} −{100 * share:.0f} %" for kind, share in record["cut"].items()),
            f"{100 * record['encoder'] / whole['encoder']:.0f}",
            f"{whole['macs'] / record['macs']:.2f}",
            f"{record['spearman']:.2f} ({record['spearman'] - whole['spearman']:+.2f})",
            *(f"{record['ms'][size][0] / record['ms'][size][1]:.2f}" for size in sizes),
        ]
        for record in found
    ]
    head = ["recipe", "encoder left %", "MACs ÷", "Spearman, all pairs", *(f"latency ÷, {size}" for size in sizes)]
    about = "Mended by `reconstruct` after each round. Latencies (sentences × tokens) on two threads, medians of one run in turns, while other work ran on both cores."
    return ["### On the clock", "", about, "", table(head, rows), ""]


def _name(method: dict[str, Any]) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in method.items() if key != "method")
    return f"`{method['method']}`" + (f" ({settings})" if settings else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
