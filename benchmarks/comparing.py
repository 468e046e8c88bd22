"""Every method under every budget on three families of networks, by `compare` itself: one comparison a family."""

import time
from dataclasses import asdict, replace
from fnmatch import fnmatch
from typing import Any

import torch

import secateur as sc
from benchmarks.searching import opened
from secateur.comparing import Grid
from secateur.comparison import Comparison, Standing
from secateur.recipe import Stage
from secateur.recovery import Recovery


def jobs(experiment: dict[str, Any], folder: Any) -> list[dict[str, Any]]:
    """One job for each network."""
    shared = {key: value for key, value in experiment.items() if key != "network"} | {"folder": str(folder)}
    return [shared | {"network": each, "seed": 0} for each in experiment["network"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job."""
    given = job["network"]
    torch.manual_seed(job["seed"])
    model, task = opened(job)
    if not max(given["recover"]):
        task = replace(task, train=None)
    inner, names = given.get("inner", "*"), sc.find_sites(model, task).names
    protect = tuple(name for name in names if not fnmatch(name, inner))
    grid = Grid(
        methods=given["methods"],
        budgets=[sc.Macs(share) for share in given["limits"]],
        compensate=given["compensate"],
        recover=given["recover"],
        seeds=job["seeds"],
        stage=Stage(recovery=Recovery(**given.get("recovery", {})), protect=protect),
    )
    begun = time.process_time()
    found = sc.compare(model, task, grid)
    return {
        "network": given["name"],
        "seconds": time.process_time() - begun,
        "metric": found.metric,
        "untouched": asdict(found.untouched),
        "rankings": [
            {
                "budget": ranking.budget,
                "verdict": ranking.verdict,
                "p": ranking.p,
                "standings": [_standing(found, standing) for standing in ranking.standings],
            }
            for ranking in found.rankings
        ],
    }


def _standing(found: Comparison, standing: Standing) -> dict[str, Any]:
    """One row, with what became of each of its cells where any failed."""
    failures = sorted({found.trials[place].failure for place in standing.trials} - {""})
    return {key: value for key, value in asdict(standing).items() if key != "trials"} | {"reasons": failures}
