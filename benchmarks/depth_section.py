"""Networks without some of their layers, as Markdown."""

from collections import defaultdict
from typing import Any

from benchmarks.provenance import newest
from benchmarks.sections import source, table

Result = dict[str, Any]
INTO = {
    "collapse": "one fitted convolution a block",
    "drop": "blocks dropped",
    "affine": "a line a unit",
    "identity": "nothing",
    "on_off": "on or off",
}


def depth(result: Result) -> str:
    """Accuracy against the number of layers that went, for every choice and every way of taking them out.

    Rows of the experiment `depth_more`, on the same networks and images, are in the same tables.
    """
    more = newest("depth_more")
    records, settings = [*result["records"], *(more["records"] if more else [])], result["settings"]
    parts = []
    for network in dict.fromkeys(record["network"] for record in records):
        own = [record for record in records if record["network"] == network]
        parts += [f"### {network}: {own[0]['untouched']:.2f} % untouched, {own[0]['activations']} activations", ""]
        parts += [_table(own), ""]
    return "\n".join(
        [
            "## ResNets on CIFAR-10 without some of their layers, not trained",
            "",
            f"Published weights; {settings['calibration']:,} training images calibrate, without labels; the first {settings['test']:,} test images judge. `collapse` and `drop` take whole residual "
            "blocks, the others single activations; the number is that of blocks or activations. *Solved* says that the layers behind are solved anew in closed form, as after a cut in width. "
            "`easier` with `identity` and `tlc` with `on_off`, not solved, are what the papers do before they train; they then train for 160 epochs after each activation, which is not done here. "
            "`chance` is the mean of its seeds, in brackets the lowest and the highest, and `magnitude` takes the activations that the smallest weights lead to: both are there as a floor. "
            "There is no row of another library: torch-pruning removes channels, and takes no activation or block out of a network. Processor seconds are for scoring, and for taking out the middle number of layers.",
            "",
            *parts,
            "Activations that become lines or nothing leave the multiply-adds as they are: 3×3 convolutions that are folded into a 5×5 cost more, and are not folded. Collapsed blocks are gone.",
            "",
            source(result),
            *([source(more)] if more else []),
        ]
    )


def _table(records: list[dict[str, Any]]) -> str:
    counts = [point["count"] for point in records[0]["curve"]]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[_name(record["choice"])].append(record)
    rows = [[*name, *_figures(group), _macs(group), _seconds(group)] for name, group in groups.items()]
    rows.sort(key=lambda row: -float(str(row[3 + len(counts) // 2]).split()[0]))
    columns = (
        "choice",
        "become",
        "solved",
        *(f"{count} gone" for count in counts),
        f"MACs left, {counts[-1]} gone",
        "seconds",
    )
    return table(columns, rows)


def _name(choice: dict[str, Any]) -> tuple[str, str, str]:
    settings = ", ".join(f"{key}={value}" for key, value in choice.get("settings", {}).items())
    method = f"`{choice['method']}`" + (f" ({settings})" if settings else "")
    return method, INTO[choice["become"]], "yes" if choice["solve"] else "no"


def _figures(group: list[dict[str, Any]]) -> list[str]:
    found = []
    for points in zip(*(record["curve"] for record in group), strict=True):
        values = [point["accuracy"] for point in points]
        spread = f" [{min(values):.1f}–{max(values):.1f}]" if len(values) > 1 else ""
        found.append(f"{sum(values) / len(values):.2f}{spread}")
    return found


def _macs(group: list[dict[str, Any]]) -> str:
    return f"{group[0]['curve'][-1]['macs'] / group[0]['macs']:.2f}"


def _seconds(group: list[dict[str, Any]]) -> str:
    curve = group[0]["curve"]
    return f"{group[0]['scoring_seconds']:.0f} + {curve[len(curve) // 2]['seconds']:.0f}"


def embedder(result: Result) -> str:
    """Spearman's correlation against the number of MLPs that became one linear layer."""
    guard = newest("embedder_guard")
    records, settings = result["records"], result["settings"]
    counts = [point["count"] for point in records[0]["curve"]]
    whole = records[0]["whole"]
    rows = [
        [*_embedder_name(record["choice"]), *(f"{point['spearman']:.2f}" for point in record["curve"])]
        for record in records
    ]
    for record in guard["records"] if guard else []:
        name, _ = _embedder_name(record["choice"])
        rows.append([name, "where the output comes nearer", *(f"{p['spearman']:.2f}" for p in record["curve"])])
    costs = [
        f"{point['count']}: {point['encoder'] / whole['encoder']:.2f} / {point['macs'] / whole['macs']:.2f}"
        for point in records[0]["curve"]
    ]
    return "\n".join(
        [
            "## A sentence embedder with fewer layers, without labels and without training",
            "",
            f"all-MiniLM-L6-v2: some of its 6 MLPs (384 → 1536 → 384) become one linear layer 384 → 384 each, fitted on {settings['calibration']:,} plain sentences. Spearman's "
            f"correlation on all pairs of STS-B dev; untouched {records[0]['untouched']:.2f}. One run. Share of the encoder's parameters / of all multiply-adds left: {'; '.join(costs)}.",
            "",
            table(["choice", "solved", *(f"{count} gone" for count in counts)], rows),
            "",
            source(result),
            *([source(guard)] if guard else []),
        ]
    )


def _embedder_name(choice: dict[str, Any]) -> tuple[str, str]:
    how = " (trial=False)" if choice.get("trial") is False else ""
    return f"`{choice['method']}`{how}", "yes" if choice["solve"] else "no"
