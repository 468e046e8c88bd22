"""Every architecture of the catalogue, judged for the library and for torch-pruning; runs in `.venv-compat`."""

from pathlib import Path
from typing import Any

from tests.compat import running
from tests.compat.catalogue import entries
from tests.compat.running import ask


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each architecture."""
    del folder
    assert experiment["limit_seconds"] == running.LIMIT_S
    here = {name: value for name, value in experiment.items() if name != "architectures"}
    chosen = experiment.get("architectures", entries().keys())
    found = [entries()[name] for name in chosen]
    return [{**here, "architecture": entry.name, "architecture_kind": entry.kind} for entry in found]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: two judgements, one after the other, each in a process of its own."""
    name = job["architecture"]
    return {
        "architecture": name,
        "kind": job["architecture_kind"],
        "secateur": ask("judge", name),
        "torch_pruning": ask("peer", name),
    }
