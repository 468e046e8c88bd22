"""What papers report, beside what was measured here, as Markdown."""

import tomllib
from typing import Any

from benchmarks.provenance import HERE, newest
from benchmarks.sections import mean, table

Row = dict[str, Any]


def published(name: str) -> str:
    """The figures of the paper on a method, and ours beside them wherever such a network was trained."""
    paper = tomllib.loads((HERE / "published" / f"{name}.toml").read_text(encoding="utf-8"))
    results = [result for result in map(newest, paper["trained"]) if result]
    records = [record for result in results for record in result["records"] if record["method"] == name]
    rows = [
        [
            row["network"],
            row["data"] + (f" ({row['base']:.2f} %)" if "base" in row else ""),
            row["method"],
            f"{-row['drop']:+.2f}",
            f"{row['left']:g}",
            *_ours(row, name, records),
        ]
        for row in paper["row"]
    ]
    files = ", ".join(f"`{result['file']}`" for result in results) or "none so far"
    return "\n".join(
        [
            f"## The table of the paper on `{name}`",
            "",
            f"**Not our figures** but the paper's ([{paper['source']}]({paper['link']})), and those that it quotes of other methods, as far as we have them: other machines, "
            "other training, seeds unknown. Ours stand beside them where a network of that kind was trained, cut and recovered here; no figure of ours is "
            f"taken from elsewhere. Results that ours come from: {files}. `change` is in points of accuracy; in brackets the paper's accuracy before the cut. "
            f"{paper['note']}",
            "",
            table(
                ["network", "data", "method", "change", "parameters left %", "our change", "our parameters left %"],
                rows,
            ),
            "",
        ]
    )


def _ours(row: Row, name: str, records: list[Row]) -> list[str]:
    """Our change and parameters left, means over seeds; nothing beside rivals' rows."""
    if row["method"].lower() != name:
        return ["", ""]
    own = [record for record in records if (record["network"], record["data"]) == (row["network"], row["data"])]
    if not own:
        return ["not run", "not run"]
    gained = mean(record["accuracy"]["recovered"] - record["accuracy"]["untouched"] for record in own)
    return [f"{gained:+.2f}", f"{100 * mean(record['parameters_left'] for record in own):.2f}"]
