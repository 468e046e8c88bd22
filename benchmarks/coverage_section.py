"""The table of architectures as Markdown."""

import statistics
from typing import Any

from benchmarks.provenance import newest
from benchmarks.sections import source, table

Result = dict[str, Any]

SOURCES = {
    "zoo": "The zoo",
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
}
AIMS = {"cnn": 0.9, "transformer": 0.6}
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
LARGEST = 1e-5


def coverage(result: Result) -> str:
    """What can go, of which architecture, and whether it goes exactly; beside torch-pruning."""
    later = [newest(name) for name in ("coverage_more", "coverage_rest", "coverage_mended")]  # of the same experiment
    results = [result, *(more for more in later if more)]
    records = list({record["architecture"]: record for one in results for record in one["records"]}.values())
    from_source = {t: [r for r in records if r["architecture"].startswith(f"{s}:")] for s, t in SOURCES.items()}
    parts = [_part(title, found) for title, found in from_source.items() if found]
    return "\n".join(
        [
            "## Architectures people have",
            "",
            *_selection(result, len(records)),
            "Every architecture at its real size, with random weights that let every unit matter (peaked attention, random biases, "
            "gates and batch-norm statistics), no options given, in a process of its own with one thread. "
            "`seconds`: processor time of `find_sites`, since other work ran on the machine; of torch-pruning, of building its graph / of building and cutting. `removable`: the share of "
            "parameters in a row, column or slice of some unit. `held by`: the operators that hold the most of the rest, with the share of parameters they hold. "
            f"`difference`: the largest of two joint cuts of {result['settings']['share']:.0%} of every site at random, relative to the largest output: the "
            "library's certificate (in float64 where it says so, since rounding alone exceeds 1e-5 there) / the same cut beside an original whose cut weights "
            "are zero, which uses nothing of the library. torch-pruning: half the channels of every layer, its default, the classifier ignored as in its README; "
            "its difference is measured the second way. `—`: not checked, since a norm over units is of a class that the check does not know.",
            "",
            *_counts(records),
            "",
            *parts,
            _below(records),
            *map(source, results),
        ]
    )


def _selection(result: Result, number: int) -> list[str]:
    """What is left out, where not the whole catalogue was judged."""
    if "architectures" not in result["settings"]:
        return []
    return [f"{number} architectures of the catalogue in `tests/compat`; the others have not been run yet.", ""]


def _counts(records: list[Result]) -> list[str]:
    ours = [r["secateur"] for r in records]
    exact = [r for r in ours if r["status"] == "ok" and _is_exact(r)]
    theirs = [r["torch_pruning"] for r in records]
    run = [r for r in theirs if r["status"] == "ok"]
    wrong = [r for r in run if (r.get("independent") or 0.0) > LARGEST]
    checked = [r for r in run if r.get("independent") is not None]
    times = [r["cpu_seconds"] for r in ours if "cpu_seconds" in r]
    return [
        f"- secateur: {len(ours)} architectures; {len(exact)} cut exactly, {_number(ours, 'refused')} refused, "
        f"{len(ours) - len(exact) - _number(ours, 'refused')} failed. `find_sites` takes {statistics.median(times):.1f} s (median), at most {max(times):.1f} s."
        if times
        else "- secateur: nothing was found.",
        f"- torch-pruning: {len(run)} run after the cut, {len(theirs) - len(run)} do not (an error, or not done within 120 s). Of {len(checked)} that were checked, "
        f"{len(wrong)} put out something else than the original with the same units silenced.",
    ]


def _number(records: list[Result], status: str) -> int:
    return sum(r["status"] == status for r in records)


def _is_exact(record: Result) -> bool:
    differences = [record[f"difference_{seed}"] <= TOLERANCE[record[f"dtype_{seed}"]] for seed in (0, 1)]
    return all(differences) and (record["independent"] is None or record["independent"] <= LARGEST)


def _part(title: str, records: list[Result]) -> str:
    rows = [[_name(r), *_ours(r["secateur"]), *_theirs(r)] for r in records]
    head = ["architecture", "M params", "seconds", "removable %", "held by", "difference"]
    return "\n".join(["", f"### {title}", "", table([*head, "torch-pruning: seconds", "difference"], rows), ""])


def _name(record: Result) -> str:
    return str(record["architecture"].partition(":")[2])


def _ours(record: Result) -> list[str]:
    size = f"{record['parameters'] / 1e6:.1f}" if "parameters" in record else ""
    if record["status"] != "ok":
        seconds = f"{record['cpu_seconds']:.1f}" if "cpu_seconds" in record else ""
        share = f"{record['removable']:.1%}"[:-1] if "removable" in record else ""
        return [size, seconds, share, _held(record), f"**{record['status']}**: {_cell(record.get('error', ''))}"]
    return [size, f"{record['cpu_seconds']:.1f}", f"{record['removable']:.1%}"[:-1], _held(record), _difference(record)]


def _held(record: Result) -> str:
    held = [(operator.partition(":")[0], share) for operator, share in record.get("pinned", {}).items()]
    shares: dict[str, float] = {}
    for operator, share in held:
        shares[operator] = shares.get(operator, 0.0) + share
    largest = sorted(shares.items(), key=lambda item: -item[1])[:2]
    return ", ".join(f"{operator} {share:.1%}" for operator, share in largest if share >= 0.001)


def _difference(record: Result) -> str:
    worst = max((record[f"difference_{seed}"], record[f"dtype_{seed}"]) for seed in (0, 1))
    precision = " (float64)" if worst[1] == "float64" else ""
    return f"{worst[0]:.0e}{precision} / {_second(record)}"


def _second(record: Result) -> str:
    return "—" if record.get("independent") is None else f"{record['independent']:.0e}"


def _theirs(record: Result) -> list[str]:
    peer = record["torch_pruning"]
    seconds = [f"{peer[key]:.1f}" for key in ("build_cpu_seconds", "cpu_seconds") if key in peer]
    if peer["status"] != "ok":
        return [" / ".join(seconds), f"**{_cell(peer.get('error', peer['status']))}**"]
    found = _second(peer)
    return [" / ".join(seconds), f"**{found}**" if (peer.get("independent") or 0.0) > LARGEST else found]


def _cell(text: str, longest: int = 120) -> str:
    text = text.replace("|", "/").replace("\n", " ").replace("<", "‹").replace(">", "›")
    return text if len(text) <= longest else text[:longest] + "…"


def _below(records: list[Result]) -> str:
    """What misses the aim for its kind."""
    found = []
    for record in records:
        share, aim = record["secateur"].get("removable"), AIMS.get(record["kind"])
        if share is not None and aim is not None and share < aim:
            found.append(f"{record['architecture']} ({share:.0%} of {aim:.0%})")
    aims = "Aim: 90 % of the parameters of a convolutional network, 60 % of a transformer's."
    return f"{aims} Below it: {', '.join(found) or 'none'}.\n"
