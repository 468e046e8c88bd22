"""Published ResNets on CIFAR-10, cut by a method or by torch-pruning, then trained with the original as teacher."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import secateur as sc
from benchmarks.cifar import accuracy, cut_by_method, macs, network
from benchmarks.peers import torch_pruned_inner
from secateur import data
from secateur.compensation import repair
from secateur.recovery import train
from secateur.task import Task


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network, share, choice of units, seed and length of training; short ones first."""
    listed = ("network", "shares", "epochs", "seeds")
    shared = {k: v for k, v in experiment.items() if k not in listed} | {"folder": str(folder)}
    return [
        shared | {"network": net["name"], "share": share, "choice": choice, "seed": seed, "epochs": epochs}
        for epochs in experiment["epochs"]
        for net in experiment["network"]
        for share in experiment["shares"]
        for choice in net["choices"]
        for seed in experiment["seeds"]
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job: test accuracy before and after training, and the share of multiply-adds left."""
    model, task = network(job), _task(job)
    whole = macs(model, task)
    small = _cut(model, task, job)
    record = {key: job[key] for key in ("network", "share", "choice", "seed", "epochs")}
    record |= {"macs_left": macs(small, task) / whole, "before": accuracy(small, task)}
    begun = time.process_time()
    settings = sc.Recovery(epochs=job["epochs"], seed=job["seed"], teacher=model, **job["recovery"])
    trained = train(small, task, settings)
    record |= {"seconds": time.process_time() - begun, "best_epoch": trained.best_epoch}
    return record | {
        "validation": [epoch.quality for epoch in trained.epochs],
        "after": accuracy(trained.model, task),
        "untouched": accuracy(model, task),
    }


def _cut(model: nn.Module, task: Task, job: dict[str, Any]) -> nn.Module:
    choice = job["choice"]
    if "peer" in choice:
        return torch_pruned_inner(model, task, choice["peer"], job["share"], job["inner"])
    small, plan = cut_by_method(model, task, job | choice)
    return repair(small, model, plan, task, how=choice["compensation"]).model


def _task(job: dict[str, Any]) -> Task:
    """CIFAR-10 with its usual augmentation; drawn by the job's seed."""
    torch.manual_seed(job["seed"])
    address = f"cifar10:{Path(job['folder']) / 'cifar10'}?scoring={job['calibration']}&batch_size=128"
    return data.load(address, seed=job["seed"]).task
