"""What is left of BERT at the published percentiles, as Markdown."""

from typing import Any

from benchmarks.sections import source, table

Result = dict[str, Any]
PERCENTILES = {"OBCE": (0.3, 0.5, 0.7), "PBCE": (0.25, 0.5, 0.75)}  # of the paper


def ratios(result: Result) -> str:
    """The parameters that are left, by the modules that lose units, beside what was published."""
    records = result["records"]
    shares = list(records[0]["choices"][0]["left"])
    head = [
        "modules that lose units",
        *(f"{100 * float(share):g} % gone" for share in shares),
        "share for OBCE's",
        "share for PBCE's",
    ]
    parts = []
    for record in records:
        said = ", ".join(f"{name} {percent:g} %" for name, percent in record["published"].items())
        rows = [
            [
                choice["modules"],
                *(f"{100 * left:.1f}" for left in choice["left"].values()),
                *("–" if share is None else f"{100 * share:.1f}" for share in choice["share"].values()),
            ]
            for choice in record["choices"]
        ]
        parts += [
            f"### {record['network']}, {record['parameters']:,} parameters; published: {said} left",
            "",
            table(head, rows),
            "",
        ]
    return "\n".join(
        [
            f"## {result['settings']['title']}",
            "",
            "Parameters left of the whole model, embeddings included, in percent, when every site of the named modules loses the same share: counted from "
            "configs with random weights, nothing is run on data. The paper does not say which modules lose neurons, nor which percentile its ratios belong to. `share for` "
            "is the share that would leave what it publishes.",
            "",
            *parts,
            _closest(records),
            "",
            source(result),
        ]
    )


def _closest(records: list[Result]) -> str:
    """The choices of modules and share that are nearest to what was published for both networks at once."""
    lines = []
    for paper in records[0]["published"]:
        found = []
        for number, choice in enumerate(records[0]["choices"]):
            for share in (str(percentile) for percentile in PERCENTILES[paper]):
                off = [
                    100 * record["choices"][number]["left"][share] - record["published"][paper] for record in records
                ]
                found.append((max(map(abs, off)), choice["modules"], share, off))
        best = sorted(found)[:3]
        shown = "; ".join(
            f"{modules} at {100 * float(share):g} % ({', '.join(f'{each:+.1f}' for each in off)} points)"
            for _, modules, share, off in best
        )
        lines.append(f"- {paper}, for both networks at once: {shown}.")
    return "\n".join(["Nearest at a published percentile:", "", *lines])
