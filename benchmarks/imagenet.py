"""Published MobileNets on images of ImageNet, cut once by every method and by torch-pruning; not trained."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

import secateur as sc
from benchmarks.cifar import macs
from benchmarks.peers import torch_pruned_inner
from secateur import budget, data, sources, storage
from secateur.compensation import repair
from secateur.inference import evaluating
from secateur.plan import Plan
from secateur.task import Split, Task

STEPS = 200  # the shares that are looked at are multiples of 1/200


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network and choice of units; the untouched network is one too."""
    found = []
    for network in experiment["network"]:
        shared = experiment | network | {"folder": str(folder), "network": network["name"], "name": experiment["name"]}
        chosen: list[dict[str, Any]] = [{"method": "untouched"}]
        for method in shared.pop("methods"):
            seeds = network["seeds"] if method == "chance" else [0]
            chosen += [{"method": method, "seed": seed} for seed in seeds]
        chosen += [{"peer": peer} for peer in shared.pop("peers")]
        del shared["seeds"]
        found += [shared | choice for choice in chosen]
    return found


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: how many test images are right, and on how many the original agrees, after every cut."""
    model, task = _network(job), _task(job)
    record = {key: job[key] for key in ("network", "method", "peer", "seed") if key in job}
    labels = torch.cat([batch[-1] for batch in task.batches("test")])
    original = _classes(model, task, "test")
    record |= {"macs": macs(model, task), "accuracy": _points(original, labels)}
    if job.get("method") == "untouched":
        seen = torch.cat([batch[-1] for batch in task.batches("calibration")])
        right = (original == labels).sum() + (_classes(model, task, "calibration") == seen).sum()
        return record | {"right": int(right), "images": len(labels) + len(seen)}
    cuts = []
    for cut in _cut_by_peer(model, task, job) if "peer" in job else _cut_by_method(model, task, job):
        small = cut.pop("model")
        classes = {how: _classes(net, task, "test") for how, net in small.items()}
        cut["accuracy"] = {how: _points(found, labels) for how, found in classes.items()}
        cut["agreement"] = {how: _points(found, original) for how, found in classes.items()}
        cuts.append(cut)
    return record | {"cuts": cuts}


def _cut_by_method(model: nn.Module, task: Task, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The networks after each amount and compensation, with what they cost."""
    begun = time.process_time()
    sites = sc.find_sites(model, task)
    settings = {"seed": job["seed"]} if job["method"] == "chance" else {}
    scores = sc.score(model, sites, task, sc.methods.get(job["method"], **settings))
    choosing = time.process_time() - begun
    others = [site.name for site in sites if not fnmatch(site.name, job["layers"])]
    whole = budget.cost(sites, {}).macs

    def chosen(share: float) -> Plan:
        return sc.select(scores, sites, sc.Share(share), protect=others)

    for removed in job["removed"]:
        share = _share(lambda share: budget.cost(sites, chosen(share).removed).macs / whole, 1 - removed)
        plan = chosen(share)
        small = sc.apply(model, plan)
        found: dict[str, Any] = {"removed": removed, "share": share, "macs_left": macs(small, task) / whole}
        found |= {"seconds": {"choosing": choosing}, "peak_mb": {}, "model": {}}
        for how in job["compensations"]:
            before, begun = _reset_peak_mb(), time.process_time()
            found["model"][how] = repair(small, model, plan, task, how=how).model
            found["seconds"][how] = time.process_time() - begun
            found["peak_mb"][how] = _peak_mb() - before
        yield found


def _cut_by_peer(model: nn.Module, task: Task, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same from torch-pruning, which has no compensation; how much goes does not depend on its criterion."""
    whole = macs(model, task)
    first = replace(task, calibration=[next(task.batches("calibration"))])

    def left(share: float) -> float:
        return macs(torch_pruned_inner(model, first, "group L2", share, job["layers"]), task) / whole

    for removed in job["removed"]:
        share = _share(left, 1 - removed)
        small = torch_pruned_inner(model, task, job["peer"], share, job["layers"])
        yield {"removed": removed, "share": share, "macs_left": macs(small, task) / whole, "model": {"none": small}}


def _share(left: Callable[[float], float], wanted: float) -> float:
    """The smallest share of the units that leaves no more of the multiply-adds than wanted."""
    return (1 + bisect_left(range(1, STEPS // 2), -wanted, key=lambda step: -left(step / STEPS))) / STEPS


def _network(job: dict[str, Any]) -> nn.Module:
    (weights,) = (Path(job["folder"]) / "weights").glob(job["weights"])
    return storage.load_weights(sources.original(job["address"], 0, {}), weights).eval()


def _task(job: dict[str, Any]) -> Task:
    folder = Path(job["folder"]) / "imagenet_sample"
    options = f"validation=0&test={job['test']}&scoring={job['calibration']}&normalise={job['normalise']}&augment=none"
    task = data.load(f"images:{folder}?{options}", seed=job["split_seed"], batch_size=job["batch_size"]).task
    return Task.classification(calibration=list(task.batches("calibration")), test=list(task.batches("test")))


def _classes(model: nn.Module, task: Task, split: Split) -> Int[Tensor, " rows"]:
    with evaluating(model.to(memory_format=torch.channels_last)) as predict:
        return torch.cat([predict(task.arguments(batch)).argmax(1) for batch in task.batches(split)])


def _points(found: Int[Tensor, " rows"], wanted: Int[Tensor, " rows"]) -> float:
    return 100.0 * float((found == wanted).double().mean())


def _reset_peak_mb() -> float:
    """Let the process's peak memory begin anew (Linux), at what it has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _peak_mb()


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
