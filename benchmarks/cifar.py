"""Published ResNets on CIFAR-10, cut once by every method and by torch-pruning, with each compensation; not trained."""

import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import nn

import secateur as sc
from benchmarks.peers import torch_pruned_inner
from secateur import data, storage, zoo
from secateur.compensation import repair
from secateur.counting import count
from secateur.plan import Plan
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import trace


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network, share and choice of units."""
    found = []
    for network in experiment["network"]:
        chosen = [{"peer": peer} for peer in network["peers"]]
        for method in network["methods"]:
            seeds = network["seeds"] if method == "chance" else [0]
            chosen += [{"method": method, "seed": seed} for seed in seeds]
        shared = {k: v for k, v in experiment.items() if k not in ("network", "shares")} | {"folder": str(folder)}
        shared |= {"network": network["name"], "compensations": network["compensations"]}
        found += [shared | {"share": share} | choice for share in experiment["shares"] for choice in chosen]
        found.append(shared | {"share": 0.0, "method": "untouched"})
    return found


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: accuracy on the test images, and multiply-adds beside the untouched network's."""
    model, task = network(job), task_of(job)
    record = {key: job[key] for key in ("network", "share", "method", "peer", "seed") if key in job}
    whole = macs(model, task)
    if job.get("method") == "untouched":
        return record | {"macs": whole, "accuracy": {"none": accuracy(model, task)}}
    if "peer" in job:
        small = torch_pruned_inner(model, task, job["peer"], job["share"], job["inner"])
        return record | {"macs_left": macs(small, task) / whole, "accuracy": {"none": accuracy(small, task)}}
    begun = time.process_time()
    small, plan = cut_by_method(model, task, job)
    record |= {"macs_left": macs(small, task) / whole, "seconds": {"choosing": time.process_time() - begun}}
    record["accuracy"] = {}
    for how in job["compensations"]:
        begun = time.process_time()
        mended = repair(small, model, plan, task, how=how).model
        record["seconds"][how] = time.process_time() - begun
        record["accuracy"][how] = accuracy(mended, task)
    return record


def cut_by_method(model: nn.Module, task: Task, job: dict[str, Any]) -> tuple[nn.Module, Plan]:
    """The model without a share of every inner layer's channels, and the plan."""
    sites = sc.find_sites(model, task)
    settings = {"seed": job["seed"]} if job["method"] == "chance" else {}
    scores = sc.score(model, sites, task, sc.methods.get(job["method"], **settings))
    plan = sc.select(scores, sites, sc.Share(job["share"]), protect=_others(sites, job["inner"]))
    return sc.apply(model, plan), plan


def network(job: dict[str, Any]) -> nn.Module:
    """The published network."""
    (weights,) = Path(job["folder"]).glob(f"weights/*/{job['network']}-*.th")
    return storage.load_weights(zoo.build(job["network"]), weights).eval()


def task_of(job: dict[str, Any]) -> Task:
    options = f"scoring={job['calibration']}&augment=none&batch_size=128"
    loaded = data.load(f"cifar10:{Path(job['folder']) / 'cifar10'}?{options}")
    batches, left = [], job["test"]
    for images, labels in loaded.task.batches("test"):
        if left > 0:
            batches.append((images[:left], labels[:left]))
            left -= len(images)
    calibration = list(loaded.task.batches("calibration"))
    return Task.classification(calibration=calibration, test=batches)


def accuracy(model: nn.Module, task: Task) -> float:
    """On the test images, in points."""
    measured = sc.measure(model.to(memory_format=torch.channels_last), task, split="test", latency=False)
    return float(measured.quality["accuracy"])


def macs(model: nn.Module, task: Task) -> int:
    """Multiply-adds per image."""
    return sum(count(trace(model, task)).macs_by_operator.values())


def _others(sites: Sites, inner: str) -> tuple[str, ...]:
    return tuple(site.name for site in sites if not fnmatch(site.name, inner))
