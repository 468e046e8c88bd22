"""Published ResNets on CIFAR-10, and a sentence embedder: layers taken out, more and more of them; not trained."""

import time
from pathlib import Path
from typing import Any

from torch import nn

import secateur as sc
from benchmarks.cifar import accuracy, macs, network
from benchmarks.cifar import task_of as images
from secateur.budget import select_layers
from secateur.folding import fold
from secateur.replacing import replace_layers
from secateur.stretches import find_layers
from secateur.task import Task


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network, method, form and seed; all counts in one, since scores are the same."""
    shared = {k: v for k, v in experiment.items() if k != "network"} | {"folder": str(folder)}
    return [
        shared | {"network": net["name"], "counts": net["counts"], "choice": choice, "seed": seed}
        for net in experiment["network"]
        for choice in net["choices"]
        for seed in (experiment["seeds"] if choice["method"] == "chance" else [0])
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: a curve over the number of layers that went."""
    model, task = network(job), images(job)
    choice = job["choice"]
    layers = find_layers(model, task)
    begun = time.process_time()
    scores = sc.score(model, layers, task, sc.methods.get(choice["method"], **_settings(job)))
    record = {key: job[key] for key in ("network", "choice", "seed")}
    record |= {"scoring_seconds": time.process_time() - begun, "untouched": accuracy(model, task)}
    record |= {"macs": macs(model, task), "activations": len(layers.activations)}
    return record | {"curve": [_point(model, task, layers, scores, job | {"count": n}) for n in job["counts"]]}


def _settings(job: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = dict(job["choice"].get("settings", {}))
    if job["choice"]["method"] == "chance":
        settings |= {"granularity": "layer", "seed": job["seed"]}
    return settings


def _point(model: nn.Module, task: Task, layers: sc.Sites, scores: sc.Scores, job: dict[str, Any]) -> dict[str, Any]:
    """What is left when so many layers have gone."""
    choice = job["choice"]
    begun = time.process_time()
    chosen = select_layers(scores, layers, sc.Count(job["count"]), become=choice["become"])
    found = replace_layers(model, layers, chosen, task, become=choice["become"], solve=choice["solve"])
    folded = fold(found.model, task).model
    seconds = time.process_time() - begun
    gone = sum(len(each.activations) for each in chosen)
    return {
        "count": job["count"],
        "activations_gone": gone,
        "macs": macs(folded, task),
        "parameters": sum(parameter.numel() for parameter in folded.parameters()),
        "accuracy": accuracy(folded, task),
        "seconds": seconds,
    }
