"""What scoring costs beside the plain forward passes, and how memory grows with the rows of a streamed table."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import secateur as sc
from secateur import data, zoo
from secateur.inference import evaluating
from secateur.methods import score_all


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for the times, one for each length of a table; the data is generated."""
    del folder
    streams = [{**experiment, "part": "streaming", "rows": rows} for rows in experiment["streaming"]["rows"]]
    return [{**experiment, "part": "times"}, *streams]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job."""
    return _times(job) if job["part"] == "times" else _streamed(job)


def _times(job: dict[str, Any]) -> dict[str, Any]:
    """Plain forward passes and scoring with all methods, in turns: processor seconds, and their ratios in each round.

    A machine that is shared is quick and slow by turns of seconds, so what is compared was run side by side.
    """
    shape = job["network"]
    torch.manual_seed(0)
    model = zoo.build("mlp", **{**shape, "hidden": tuple(shape["hidden"])})
    inputs = torch.randn(job["data"]["rows"], shape["features"])
    labels = torch.zeros(len(inputs), dtype=torch.long)
    size = job["data"]["batch_size"]
    batches = list(zip(inputs.split(size), labels.split(size), strict=True))
    task = sc.Task.classification(train=batches)
    sites = sc.find_sites(model, task)
    chosen = [sc.methods.get(name) for name in job["methods"]]

    def plain() -> None:
        with evaluating(model) as predict:
            for batch in batches:
                predict(task.arguments(batch))

    calls = {"forward": plain, "all methods": lambda: score_all(model, sites, task, chosen)}
    calls |= {m.name: lambda m=m: sc.score(model, sites, task, m) for m in chosen}
    torch.zeros(1 << 21)  # 8 MiB, freed: glibc then keeps freed memory, else every batch is paid in page faults
    rounds = _in_turns(calls, job["repeats"])
    medians = {name: statistics.median(times) for name, times in rounds.items()}
    ratios = {name: [a / b for a, b in zip(rounds[name], rounds["forward"], strict=True)] for name in rounds}
    return {
        "part": "times",
        "seconds": medians,
        "ratio": {name: statistics.median(each) for name, each in ratios.items()},
        "quartiles": {name: statistics.quantiles(each, n=4)[::2] for name, each in ratios.items()},
    }


def _in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Processor seconds of every call, round after round; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            times[name].append(time.process_time() - begun)
    return {name: values[1:] for name, values in times.items()}


def _streamed(job: dict[str, Any]) -> dict[str, Any]:
    """Scoring over a generated table in a process of its own, which tells its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.csv"
        _write(path, job["rows"], job["streaming"]["features"])
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.scoring", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return {"part": "streaming", "rows": job["rows"], "file_mb": path.stat().st_size / 1e6} | found


def _write(path: Path, rows: int, features: int) -> None:
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join([*(f"x{i}" for i in range(features)), "y"]) + "\n")
        for start in range(0, rows, 50_000):
            x = generator.normal(size=(min(50_000, rows - start), features))
            np.savetxt(file, np.column_stack([x, x.sum(1)]), fmt="%.5f", delimiter=",")


def _score_file(path: str) -> dict[str, float]:
    torch.set_num_threads(1)
    loaded = data.load(f"csv:{path}?target=y&task=regression&stream=1")
    model = zoo.build("mlp", features=loaded.features, outputs=1, hidden=(256, 256, 256, 256))
    before = _peak_mb()
    begun = time.perf_counter()
    sc.score(model, sc.find_sites(model, loaded.task), loaded.task, "dense")
    return {"seconds": time.perf_counter() - begun, "peak_mb": _peak_mb(), "peak_before_scoring_mb": before}


def _peak_mb() -> float:
    """The peak memory of this program alone; `ru_maxrss` would begin with that of the process that started it."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(_score_file(sys.argv[1])))
