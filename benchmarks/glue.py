"""An encoder fine-tuned on tasks of GLUE, then cut by every method: judged before and after an equal recovery."""

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

import secateur as sc
from benchmarks.embedder import counts, method_of, words
from benchmarks.glue_base import HALVES, WHOLE, Base, base_of, load
from secateur import halves
from secateur.compensation import repair
from secateur.inference import evaluating
from secateur.measurement import compare_latency
from secateur.recovery import train
from secateur.scores import Scores

SIZES = [(1, 32), (1, 128), (32, 32), (32, 128)]  # texts and tokens that are timed
THREADS = 1
LISTED = ("task", "group")


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """For each seed: every task untouched, then every group of cuts on every task, in the order of the file."""
    shared = {key: value for key, value in experiment.items() if key not in LISTED} | {"folder": str(folder)}
    seeds = sorted({seed for task in experiment["task"] for seed in task["seeds"]})
    return [
        shared | {"task": _without(task, "seeds"), "seed": seed} | _without(group, "tasks")
        for seed in seeds
        for group in [{"part": "untouched"}, *experiment["group"]]
        for task in experiment["task"]
        if seed in task["seeds"] and task["name"] in group.get("tasks", [task["name"]])
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job."""
    base = base_of(job)
    record = {"task": job["task"]["name"], "seed": job["seed"], "part": job["part"]}
    match job["part"]:
        case "untouched":
            record |= base.record | sizes(base.model) | {"stability": _stability(base, job)}
            record["sampled"] = _quality(base.model, base, job["task"]["every"])
        case "oneshot":
            record["cells"] = [_cut_once(base, job, cell) for cell in job["cells"]]
        case "recovered":
            record["cells"] = [_recovered(base, job, cell) for cell in job["cells"]]
    return record


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}


def sizes(model: nn.Module) -> dict[str, int]:
    """The parameters of the whole, and of the encoder's layers."""
    encoder = sum(weight.numel() for weight in model.bert.encoder.parameters())  # type: ignore[union-attr, operator]
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "encoder": encoder}


def _quality(model: nn.Module, base: Base, every: int = 1) -> dict[str, float]:
    """The figures of GLUE on the development set, or on every second, third, … batch of it."""
    task = replace(base.task, test=list(islice(base.task.batches("test"), 0, None, every)))
    with evaluating(model) as predict:
        return task.evaluate("test", predict)


def _stability(base: Base, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What two halves of the calibration rows agree on, when half of the units go: of neurons, and of attention."""
    found = []
    for number, settings in enumerate(job["methods"]):
        first, second = (base.scores[number, part] for part in HALVES)
        agreed = halves.agreements(first, second, 0.5)
        kinds = {"neurons": "intermediate", "attention": "attention"}
        means = {kind: halves.mean({n: a for n, a in agreed.items() if word in n}) for kind, word in kinds.items()}
        found.append({"method": settings} | {kind: vars(mean) for kind, mean in means.items()})
    return found


def _cut_once(base: Base, job: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    """One cut, judged after every compensation on a part of the development set."""
    due = counts(base.sites, base.sites, cell["cut"], 1.0)
    plan = sc.select(_scores(base, job, cell["method"]), base.sites, due, protect=base.protected)
    small = sc.apply(base.model, plan)
    found: dict[str, Any] = {**cell, **sizes(small), "quality": {}, "seconds": {}, "kept": {}}
    for how in cell["hows"]:
        begun = time.process_time()
        repaired = repair(small, base.model, plan, base.task, how=how, rows=job["task"]["mending"])
        found["seconds"][how] = time.process_time() - begun
        found["kept"][how] = [sum(fold.used != "none" for fold in repaired.folds), len(repaired.folds)]
        found["quality"][how] = _quality(repaired.model, base, job["task"]["every"])
    print(job["task"]["name"], found, flush=True)
    return found


def _recovered(base: Base, job: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    """A cut in rounds, each mended; then trained as all are, the original as teacher. No method: the original."""
    begun = time.process_time()
    small = _smaller(base, job, cell) if cell["method"] else base.model
    found = cell | sizes(small) | {"before": _quality(small, base)}
    # one epoch that is kept whatever it gives, so that nothing is chosen
    part = load(job, job["task"]["train" if cell.get("all") else "recovery"]).task.train
    rows = replace(base.task, train=part, validation=None)
    settings = sc.Recovery(epochs=1, seed=job["seed"], teacher=base.model, **job["recovery"])
    trained = train(small, rows, settings)
    found |= {"after": _quality(trained.model, base), "seconds": time.process_time() - begun}
    if cell.get("timed") == job["task"]["name"]:
        found["ms"] = _times([base.model, trained.model])
    print(job["task"]["name"], found, flush=True)
    return found


def _times(models: list[nn.Module]) -> dict[str, list[float]]:
    found = {}
    for rows, tokens in SIZES:
        times = compare_latency(models, words(rows, tokens), rows, threads=THREADS)
        found[f"{rows} x {tokens}"] = [each.median_ms for each in times]
    return found


def _smaller(base: Base, job: dict[str, Any], cell: dict[str, Any]) -> nn.Module:
    """The encoder cut in rounds, scored anew and mended in each."""
    small = base.model
    for number in range(cell["rounds"]):
        sites = base.sites if number == 0 else sc.find_sites(small, base.task)
        method = cell["method"]
        scores = _scores(base, job, method) if number == 0 else sc.score(small, sites, base.task, method_of(method))
        due = counts(base.sites, sites, cell["cut"], (number + 1) / cell["rounds"])
        plan = sc.select(scores, sites, due, protect=base.protected)
        mended = repair(sc.apply(small, plan), small, plan, base.task, how=cell["how"], rows=job["task"]["mending"])
        small = mended.model
    return small


def _scores(base: Base, job: dict[str, Any], settings: dict[str, Any]) -> Scores:
    return base.scores[job["methods"].index(settings), WHOLE]
