"""The tables of the comparisons, as Markdown."""

from typing import Any

from benchmarks.sections import Result, source, table

Record = dict[str, Any]


def compare(result: Result) -> str:
    """All that was tried on each network, best first under each budget."""
    settings, done = result["settings"], [record["network"] for record in result["records"]]
    missing = [network["name"] for network in settings["network"] if network["name"] not in done]
    parts = [
        "## Methods under budgets on families of networks",
        "",
        f"`compare`, as anyone can run it: every method under every budget, with every compensation and length of recovery, all from the same network and data. Ranked by validation "
        f"quality (the networks on images were trained on the rows that this is measured on); test quality is looked at once. What is random has {settings['seeds']} seeds (mean ± standard deviation). "
        "Parameters, multiply-adds and the latency of one row are shares of the untouched network's, timed in turns with it.",
        "",
        *([f"Not finished, and so not here: {', '.join(missing)}.", ""] if missing else []),
    ]
    for record in result["records"]:
        parts += _network(record)
    return "\n".join([*parts, source(result)])


def _network(record: Record) -> list[str]:
    metric, untouched = record["metric"], record["untouched"]["quality"]
    shown = f"{untouched[f'test_{metric}']:.2f} on test data, {untouched[metric]:.2f} on validation data"
    head = ["method", "then", "validation", "test", "parameters", "MACs", "latency"]
    parts = [f"### {record['network']}: {metric} {shown} untouched", ""]
    for ranking in record["rankings"]:
        rows = [_row(one, metric, record["untouched"]) for one in ranking["standings"]]
        parts += [f"**{ranking['budget']}.** {ranking['verdict'].rstrip('.')}.", "", table(head, rows), ""]
    return parts


def _row(standing: Record, metric: str, untouched: Record) -> list[str]:
    epochs = f", {standing['epochs']} epochs" if standing["epochs"] else ""
    what = [f"`{standing['method']}`", f"{standing['compensate']}{epochs}"]
    if not standing["quality"]:
        return [*what, "; ".join(standing["reasons"])[:160], "", "", "", ""]
    quality = [_spread(standing["quality"].get(name)) for name in (metric, f"test_{metric}")]
    costs = [
        standing["parameters"] / untouched["parameters"],
        standing["macs"] / untouched["macs"],
        standing["latency"],
    ]
    return [*what, *quality, *("" if cost is None else f"{cost:.2f}" for cost in costs)]


def _spread(found: Record | None) -> str:
    if found is None:
        return ""
    return f"{found['mean']:.2f}" if found["deviation"] is None else f"{found['mean']:.2f} ± {found['deviation']:.2f}"
