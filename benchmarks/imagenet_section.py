"""Networks on images of ImageNet, cut before any training, as Markdown."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from benchmarks.sections import source, table

Result = dict[str, Any]
ALWAYS = ("magnitude", "taylor", "ocnna", "chance")  # a table is not whole without them
HOWS = ("none", "least_squares", "reconstruct")


def oneshot(result: Result) -> str:
    """Top-1 accuracy and agreement with the original after every choice of units and every compensation."""
    records, settings = result["records"], result["settings"]
    parts = []
    for network in dict.fromkeys(record["network"] for record in records):
        own = [record for record in records if record["network"] == network]
        whole = next(record for record in own if record.get("method") == "untouched")
        title = (
            f"### {network}: {whole['accuracy']:.1f} % untouched ({whole['right']} of all {whole['images']:,} right)"
        )
        parts += [title, "", _table(own), "", _costs(own) + _missing(own) + _idle(own), ""]
    return "\n".join(
        [
            f"## {settings['title']}",
            "",
            "Published weights (biubug6's MobileNetV1 at a quarter of the width; google-coral's MobileNetV2, whose int8 weights are multiplied out and whose batch-norms are "
            f"folded in) on 1,000 images, one of each class: {settings['calibration']} drawn by a seed calibrate (without labels for compensation; `taylor` and torch-pruning's Taylor "
            f"see them), the other {settings['test']} judge. **The images are most likely training images of ImageNet: read the differences, not the accuracies**, which have a "
            "standard error of about two points.",
            "",
            "The same share of the channels of every layer goes (of MobileNetV2, of every block's inner channels: its narrow residual streams have none to spare), the smallest in "
            "steps of half a percent that leaves no more multiply-adds than wanted; torch-pruning cuts the same layers by the same rule. Each cell: top-1 accuracy, in brackets the difference to the untouched network, then the share of the test images on which "
            f"the classes of both are the same (`agree`). One run; `chance` is the mean of its seeds ({_seeds(records)}).",
            "",
            *parts,
            source(result),
        ]
    )


def _seeds(records: list[Result]) -> str:
    """How many seeds of `chance` each network had."""
    counts = Counter(record["network"] for record in records if record.get("method") == "chance")
    return ", ".join(f"{count} on {network}" for network, count in counts.items()) or "not run"


def _is_whole(record: Result) -> bool:
    """Whether a peer was asked to cut and cut nothing."""
    return "peer" in record and all(cut["macs_left"] > 0.999 for cut in record["cuts"])


def _idle(records: list[Result]) -> str:
    names = [record["peer"] for record in records if _is_whole(record)]
    reason = "given the blocks' inner layers alone, as our harness gives them, it cut nothing"
    return f" torch-pruning ({', '.join(names)}) has no row: {reason}; that is no figure of its own." if names else ""


def _table(records: list[Result]) -> str:
    by: dict[tuple[str, float], list[Result]] = defaultdict(list)
    for record in records:
        name = record.get("method") or f"torch-pruning, {record['peer']}"
        for cut in () if _is_whole(record) else record.get("cuts", ()):
            by[(name, cut["removed"])].append(cut | {"whole": record["accuracy"]})
    hows = [how for how in HOWS if any(how in cut["accuracy"] for cuts in by.values() for cut in cuts)]
    amounts = sorted({removed for _, removed in by})
    head = ["choice", *(text for amount in amounts for text in (f"MACs left, {amount:.0%} to go", *hows))]
    names = dict.fromkeys(name for name, _ in by)
    return table(head, [[name, *(text for a in amounts for text in _at(by[(name, a)], hows))] for name in names])


def _at(cuts: list[Result], hows: Iterable[str]) -> list[str]:
    left = f"{cuts[0]['macs_left']:.3f}" if cuts else ""
    return [left, *(_cell(cuts, how) for how in hows)]


def _cell(cuts: list[Result], how: str) -> str:
    found = [cut for cut in cuts if how in cut["accuracy"]]
    if not found:
        return ""
    accuracy = statistics.mean(cut["accuracy"][how] for cut in found)
    agreement = statistics.mean(cut["agreement"][how] for cut in found)
    lost = accuracy - statistics.mean(cut["whole"] for cut in found)
    return f"{accuracy:.1f} ({lost:+.1f}) agree {agreement:.1f}"


def _costs(records: list[Result]) -> str:
    """What compensation took."""
    cuts = [cut for record in records for cut in record.get("cuts", ()) if "peak_mb" in cut]
    seconds = [
        f"`{how}` {statistics.median(cut['seconds'][how] for cut in cuts):.0f} s and {max(cut['peak_mb'][how] for cut in cuts):,.0f} MB"
        for how in HOWS[1:]
        if all(how in cut["seconds"] for cut in cuts)
    ]
    return f"Processor seconds (median) and memory above what the process had (most) of one compensation: {', '.join(seconds)}."


def _missing(records: list[Result]) -> str:
    """The choices that have not been run."""
    names = [f"`{name}`" for name in ALWAYS if name not in [record.get("method") for record in records]]
    return f" **Not run yet:** {', '.join(names)}." if names else ""
