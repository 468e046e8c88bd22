"""Where a figure comes from: commit, versions, machine, settings."""

import json
import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = (
    "torch",
    "accelerate",
    "numpy",
    "scikit-learn",
    "torch-pruning",
    "torchvision",
    "timm",
    "transformers",
    "gudhi",
    "ripser",
)


def provenance(settings: dict[str, Any]) -> dict[str, Any]:
    """The commit (and whether files differ from it), versions, machine and settings of a run."""
    return {
        "commit": commit(),
        "uncommitted": is_changed(),
        "versions": {"python": platform.python_version()} | _versions(),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count()},
        "settings": settings,
    }


def commit() -> str:
    """The commit of the checkout."""
    return _git("rev-parse", "HEAD")


def is_changed() -> bool:
    """Whether files of the library, or of the benchmarks but their results, differ from the commit's."""
    return bool(_git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py"))


def write(name: str, settings: dict[str, Any], records: list[dict[str, Any]]) -> Path:
    """Write a result file; an earlier one of the same name is kept under a number."""
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    number = 2
    while path.exists():
        path = HERE / "results" / f"{name}-{number}.json"
        number += 1
    path.write_text(json.dumps(provenance(settings) | {"records": records}, indent=1) + "\n", encoding="utf-8")
    return path


def newest(name: str) -> dict[str, Any] | None:
    """The newest result of an experiment, if it was ever run."""
    paths = [*HERE.glob(f"results/{name}.json"), *HERE.glob(f"results/{name}-[0-9]*.json")]
    if not paths:
        return None
    path = max(paths, key=lambda p: int(p.stem.removeprefix(name).removeprefix("-") or 1))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found | {"file": path.name}


def _versions() -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _git(*args: str) -> str:
    return subprocess.run(["git", *args], cwd=HERE.parent, capture_output=True, text=True, check=False).stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
