"""The search beside every method alone, under the same limit, before any training; the best also at equal compute."""

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

import secateur as sc
from benchmarks.cifar import network
from benchmarks.glue_base import base_of
from secateur import data, zoo
from secateur.compensation import repair
from secateur.compensation.departure import enough
from secateur.errors import CompressionError
from secateur.inference import evaluating
from secateur.recovery import train
from secateur.scores import Scores
from secateur.searching import Effort, Goal, search
from secateur.searching.allocation import Shape, spread
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import trace

MOST_ROWS = 4096  # that a method alone is given, for memory


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network, limit and seed."""
    shared = {key: value for key, value in experiment.items() if key != "network"} | {"folder": str(folder)}
    return [
        shared | {"network": each, "limit": limit, "seed": seed}
        for each in experiment["network"]
        for limit in each["limits"]
        for seed in each["seeds"]
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job."""
    torch.manual_seed(job["seed"])
    model, task = opened(job)
    limit = sc.Macs(job["limit"])
    record = {"network": job["network"]["name"], "limit": job["limit"], "seed": job["seed"]}
    record |= {"metric": task.metric, "untouched": _quality(model, task)}
    begun = time.process_time()
    given = job["network"]
    effort = Effort(job["trials"], job["finalists"], tuple(given["methods"]), given.get("rows"), job["seed"])
    found = search(model, task, Goal(limit), effort=effort)
    small = sc.compress(model, replace(task, test=None), found.recipe)
    seconds = time.process_time() - begun
    (chosen,) = (one for one in found.tried if one.number == found.chosen)
    record["search"] = {
        "seconds": seconds,
        "macs_left": small.final.macs / small.original.macs,
        "quality": _quality(small.model, task),
        "chosen": {name: getattr(chosen, name) for name in ("method", "temper", "slope", "bare", "layers", "counts")},
        "states": [one.state for one in found.tried],
    }
    print(record, flush=True)
    rows = enough(trace(model, task))
    alone = [one for name in job["network"]["methods"] for one in _alone(model, task, limit, name, rows)]
    best = sorted((one for one in alone if "quality" in one), key=lambda one: -one["quality"]["validation"])
    longer = [_longer(model, task, limit, one, rows, seconds) for one in best[: job["network"]["longer"]]]
    return record | {"alone": alone, "equal_compute": longer, "rows": rows}


def opened(job: dict[str, Any]) -> tuple[nn.Module, Task]:
    """The network and its task."""
    given = job["network"]
    match given["kind"]:
        case "cifar":
            options = f"scoring={given['calibration']}&augment=none&batch_size=128"
            whole = data.load(f"cifar10:{Path(job['folder']) / 'cifar10'}?{options}", seed=job["seed"]).task
            task = Task.classification(
                calibration=list(whole.batches("calibration")),
                validation=list(islice(whole.batches("validation"), given["validation"])),
                test=list(islice(whole.batches("test"), given["test"])),
            )
            return network(job | {"network": given["name"]}), task
        case "glue":
            base = base_of(job | given["base"] | {"seed": job["seed"]})
            return base.model, replace(base.task, train=None)
    loaded = data.load(f"csv:{Path(job['folder']) / 'uci' / given['file']}?{given['options']}", seed=job["seed"])
    model = zoo.build("mlp", features=loaded.features, outputs=loaded.outputs, hidden=tuple(given["hidden"]))
    settings = sc.Recovery(epochs=given["epochs"], learning_rate=1e-3, patience=15, seed=job["seed"])
    return train(model, loaded.task, settings).model, loaded.task


def _alone(model: nn.Module, task: Task, limit: sc.Macs, name: str, rows: int) -> list[dict[str, Any]]:
    """A method by its own order over all sites, and with the same share of every site."""
    begun = time.process_time()
    sites = sc.find_sites(model, task)
    try:
        scores = sc.score(model, sites, task, name)
    except CompressionError as error:
        return [{"method": name, "refused": str(error)}]
    scored = time.process_time() - begun
    even = spread(scores, sites, Shape(), {}, {})
    spreads = {"its own order": scores, "the same share": even}
    cuts = {how: _cut(model, task, limit, sites, each, rows) for how, each in spreads.items()}
    return [found | {"spread": how, "scored": scored} for how, found in cuts.items()]


def _cut(model: nn.Module, task: Task, limit: sc.Macs, sites: Sites, scores: Scores, rows: int) -> dict[str, Any]:
    begun = time.process_time()
    plan = sc.select(scores, sites, limit)
    mended = repair(sc.apply(model, plan), model, plan, task, rows=rows).model
    found = {"method": scores.method, "seconds": time.process_time() - begun, "rows": rows}
    found["quality"] = _quality(mended, task)
    print(found, flush=True)
    return found


def _longer(
    model: nn.Module, task: Task, limit: sc.Macs, one: dict[str, Any], rows: int, seconds: float
) -> dict[str, Any]:
    """A method alone, given more rows to be mended on, until it costs what the search did, as far as memory goes."""
    more = min(int(rows * seconds / one["seconds"]), MOST_ROWS)
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, one["method"])
    scores = scores if one["spread"] == "its own order" else spread(scores, sites, Shape(), {}, {})
    return _cut(model, task, limit, sites, scores, more) | {"spread": one["spread"]}


def _quality(model: nn.Module, task: Task) -> dict[str, float]:
    with evaluating(model) as predict:
        splits = ("validation", "test")
        return {split: task.evaluate(split, predict)[task.metric] for split in splits}  # type: ignore[arg-type]
