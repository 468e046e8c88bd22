"""Networks for images: cuts before any training, and what scoring them costs, as Markdown."""

import statistics
from collections import defaultdict
from typing import Any

from benchmarks.provenance import newest
from benchmarks.sections import source, table

Result = dict[str, Any]
AIMS = {"exact": 3.0, "surrogate": 1.2, "literal": 100.0}  # times the forward passes, and times quicker than literally
HOWS = ("none", "mean", "least_squares", "reconstruct")


def oneshot(result: Result) -> str:
    """Accuracy of every choice of channels after every compensation, and of torch-pruning's criteria."""
    records, settings = result["records"], result["settings"]
    parts = []
    for network in dict.fromkeys(record["network"] for record in records):
        own = [record for record in records if record["network"] == network]
        whole = next(record for record in own if record.get("method") == "untouched")
        parts += [f"### {network}: {whole['accuracy']['none']:.2f} % untouched", "", _table(own), ""]
    return "\n".join(
        [
            "## ResNets on CIFAR-10, cut once and not trained",
            "",
            f"Published weights; the same share of the inner channels of every block goes, {settings['calibration']:,} training images calibrate (compensation sees no "
            f"labels; `taylor` and torch-pruning's Taylor do), the first {settings['test']:,} test images judge. torch-pruning's criteria cut the same layers by the same "
            "share; it rounds widths down, we to the nearest, so that its networks may be a little smaller (`MACs left`). One run; only `chance` is random (mean of its seeds, in brackets the lowest and the highest).",
            "",
            *parts,
            "What is done after choosing matters more than the choice: `reconstruct` lifts every choice, `chance` included. Processor seconds for one "
            f"`reconstruct`: {_seconds(records)}.",
            "",
            source(result),
        ]
    )


def recovery(result: Result) -> str:
    """Accuracy before and after the same short training, ours beside torch-pruning's."""
    settings = result["settings"]
    others = [newest(name) for name in ("cifar_recovery_56", "cifar_recovery_slow")]  # of the same experiment
    results = [result, *(other for other in others if other)]
    records = [record | {"training": one["settings"]["recovery"]} for one in results for record in one["records"]]
    rows = [
        [
            record["network"],
            f"{record['macs_left']:.3f}",
            _name(record["choice"]),
            f"{record['before']:.2f}",
            f"{record['epochs']}, {_rate(record['training'])}",
            f"{record['after']:.2f}",
            f"{record['untouched']:.2f}",
        ]
        for record in sorted(records, key=lambda r: (r["network"], -r["macs_left"], r["epochs"], -r["after"]))
    ]
    return "\n".join(
        [
            "## ResNets on CIFAR-10, cut and trained for a little",
            "",
            "Published weights; the same widths for all (sixteenths of the inner channels, so that nobody rounds), and the same training on 45,000 images with the original as "
            f"teacher: {', '.join(f'{name} {value}' for name, value in settings['recovery'].items() if name != 'learning_rate')}. Two rates: 0.02, not tuned; and, on one network, 0.005 with the weights "
            f"averaged over the steps, since 0.02 made the mended network worse on the held-out images. All {settings['test']:,} test images; one seed. "
            f"The best epoch on 5,000 other training images is kept (the published weights have seen them), and before training counts as one: {_unmoved(records)}. Few and short runs, for want of a GPU.",
            "",
            table(["network", "MACs left", "choice", "cut", "epochs, rate", "trained", "untouched"], rows),
            "",
            "At the lower rate torch-pruning's network ends 0.26 points ahead at half of the multiply-adds, though it began 47 points behind: on one seed that says they are level. What is mended "
            "in closed form pays where there is no training, or where more has gone.",
            "",
            *map(source, results),
        ]
    )


def _rate(training: dict[str, Any]) -> str:
    decay = training.get("ema_decay")
    return f"{training['learning_rate']:g}" + (f", averaged ({decay:g})" if decay else "")


def _unmoved(records: list[Result]) -> str:
    """Whose training was undone, since it did not help on the held-out images."""
    found = [
        f"{r['network']}, {_name(r['choice'])}, at {r['macs_left']:.2f} with a rate of {_rate(r['training'])}"
        for r in records
        if r["best_epoch"] == 0
    ]
    return (
        f"so it stayed with {'; '.join(found)}, for which this training is too coarse"
        if found
        else "always a later one"
    )


def _name(choice: dict[str, str]) -> str:
    return f"torch-pruning, {choice['peer']}" if "peer" in choice else f"{choice['method']}, {choice['compensation']}"


def scoring_conv(result: Result) -> str:
    """What scoring convolutions costs beside the plain forward passes."""
    names = [name for name in result["records"][0]["ratio"] if name not in ("forward", "literal")]
    rows = [
        [
            record["network"],
            *(f"{record['ratio'][name]:.2f}" for name in names),
            f"{record['ratio']['literal'] / record['ratio']['exact']:.0f}",
        ]
        for record in result["records"]
    ]
    return "\n".join(
        [
            "## What scoring convolutions costs",
            "",
            f"Ratios to the plain forward passes. {result['settings']['note']} `exact` and `surrogate` are the two forms of `ocnna`; the last column is "
            f"scikit-learn's PCA map by map, timed on a sample, divided by `exact`. {_aims(result['records'])} Most of the exact form is LAPACK's: 32 × 32 maps need an "
            "eigenvalue problem of 31 each.",
            "",
            table(["network", *names, "literal ÷ exact"], rows),
            "",
            source(result),
        ]
    )


def _aims(records: list[Result]) -> str:
    """What was aimed at, and by which networks it is missed."""
    aims = {
        f"{AIMS['exact']:g} × for the exact form": lambda ratio: ratio["exact"] <= AIMS["exact"],
        f"{AIMS['surrogate']:g} × for the surrogate": lambda ratio: ratio["surrogate"] <= AIMS["surrogate"],
        f"{AIMS['literal']:g} × against the literal form": lambda ratio: (
            ratio["literal"] >= AIMS["literal"] * ratio["exact"]
        ),
    }
    parts = []
    for aim, met in aims.items():
        missed = [record["network"] for record in records if not met(record["ratio"])]
        parts.append(f"{aim} ({'missed by ' + ' and '.join(missed) if missed else 'met'})")
    return f"The aims were {', '.join(parts)}."


def _table(records: list[Result]) -> str:
    by: dict[tuple[str, float], list[Result]] = defaultdict(list)
    for record in records:
        if record["share"]:
            name = record.get("method") or f"torch-pruning, {record['peer']}"
            by[(name, record["share"])].append(record)
    hows = [how for how in HOWS if any(how in record["accuracy"] for record in records)]
    shares = sorted({share for _, share in by})
    head = ["choice", *(text for share in shares for text in (f"MACs left, {share:.0%} gone", *hows))]
    rows = [
        [name, *(text for share in shares for text in _at_share(by.get((name, share), []), hows))]
        for name in dict.fromkeys(name for name, _ in by)
    ]
    return table(head, rows)


def _at_share(records: list[Result], hows: list[str]) -> list[str]:
    left = f"{records[0]['macs_left']:.3f}" if records else ""
    return [left, *(_cell(records, how) for how in hows)]


def _cell(records: list[Result], how: str) -> str:
    values = [record["accuracy"][how] for record in records if how in record["accuracy"]]
    if not values:
        return ""
    spread = f" ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def _seconds(records: list[Result]) -> str:
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if "reconstruct" in record.get("seconds", {}):
            found[record["network"]].append(record["seconds"]["reconstruct"])
    return ", ".join(f"{statistics.median(values):.0f} on {network}" for network, values in found.items())
