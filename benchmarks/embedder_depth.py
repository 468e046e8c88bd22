"""A sentence embedder whose MLPs become one linear layer each, without labels or training."""

import time
from pathlib import Path
from typing import Any

import secateur as sc
from benchmarks.embedder import SIZES, THREADS, costs, embedder, sentences, spearman, words
from secateur.budget import select_layers
from secateur.measurement import compare_latency
from secateur.replacing import replace_layers
from secateur.stretches import find_layers


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each choice, with all counts."""
    shared = {key: value for key, value in experiment.items() if key != "choices"} | {"folder": str(folder)}
    return [shared | {"choice": choice} for choice in experiment["choices"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Spearman's correlation on all pairs and costs, for every number of MLPs that went."""
    model, task, choice = embedder(job), sentences(job), job["choice"]
    layers = find_layers(model, task)
    settings = {key: value for key, value in choice.items() if key not in ("method", "become", "solve")}
    begun = time.process_time()
    scores = sc.score(model, layers, task, sc.methods.get(choice["method"], **settings))
    record: dict[str, Any] = {"choice": choice, "scoring_seconds": time.process_time() - begun, "curve": []}
    record |= {"untouched": spearman(model, job, 1), "whole": costs(model)}
    for count in job["counts"]:
        begun = time.process_time()
        chosen = select_layers(scores, layers, sc.Count(count), become=choice["become"])
        small = replace_layers(model, layers, chosen, task, become=choice["become"], solve=choice["solve"]).model
        point = {"count": count, "gone": [each.name for each in chosen], "seconds": time.process_time() - begun}
        point |= {"spearman": spearman(small, job, 1)} | costs(small)
        if job["timed"] == count:
            point["ms"] = {}
            for rows, tokens in SIZES:
                times = compare_latency([model, small], words(rows, tokens), rows, threads=THREADS)
                point["ms"][f"{rows} x {tokens}"] = [each.median_ms for each in times]
        record["curve"].append(point)
        print(record["choice"], point, flush=True)
    return record
