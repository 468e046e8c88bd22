"""Run experiments: `python -m benchmarks.run tables --data DIR`; a stopped run goes on where the commit is the same."""

import argparse
import hashlib
import json
import tomllib
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from benchmarks.provenance import HERE, commit, is_changed, write


def main() -> None:
    """Run one experiment and write its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=sorted(path.stem for path in HERE.glob("experiments/*.toml")))
    parser.add_argument("--data", type=Path, default=Path(), help="the folder with the experiment's data files")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    experiment = tomllib.loads((HERE / "experiments" / f"{options.experiment}.toml").read_text(encoding="utf-8"))
    jobs = import_module(f"benchmarks.{experiment['kind']}").jobs(experiment, options.data)
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"), initializer=_single) as pool:
        records = list(track(pool.map(_cached, jobs), description=experiment["title"], total=len(jobs)))
    print(write(experiment["name"], experiment | {"workers": options.workers, "threads_per_worker": 1}, records))


def _single() -> None:
    torch.set_num_threads(1)


def _cached(job: dict[str, Any]) -> dict[str, Any]:
    """The record of a job, or that of an earlier run of the very same code: a result names only one commit."""
    key = hashlib.sha256(json.dumps([job, commit()], sort_keys=True, default=str).encode()).hexdigest()[:16]
    path = HERE / ".cache" / f"{job['name']}-{key}.json"
    if is_changed():  # what edited code gives is neither taken for the commit's nor kept as such
        return _record(job)
    if path.exists():
        done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return done
    record = _record(job)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(record), encoding="utf-8")
    draft.replace(path)
    return record


def _record(job: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = import_module(f"benchmarks.{job['kind']}").run(job)
    return record


if __name__ == "__main__":
    main()
