"""The best network with over 70 % of the parameters gone, for each table, chosen on validation data alone.

Among a few settings of the method, the one whose network does best on validation is taken; then, once, the test data is
looked at. Rivals get the same share, rounds and training.
"""

from pathlib import Path
from typing import Any

from torch import nn

import secateur as sc
from benchmarks import tables
from benchmarks.peers import torch_pruned
from benchmarks.tables import Base, parameters, quality, trained, training
from secateur.pipeline import reinitialised
from secateur.recovery import train


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job per table and seed."""
    return tables.jobs(experiment, folder)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The network that validation chooses, its rivals and its controls, on one table with one seed."""
    base = trained(job)
    tried = [_compressed(base, "dense", c["share"], measure=c["measure"]) for c in job["candidate"]]
    best = max(range(len(tried)), key=lambda number: tried[number].final.quality[base.data.task.metric])
    chosen, share = tried[best], job["candidate"][best]["share"]
    scratch = train(reinitialised(chosen.model, job["seed"]), base.data.task, training(job)).model
    return {
        "table": job["table"]["name"],
        "seed": job["seed"],
        "kind": base.data.kind,
        "rows": dict(base.data.rows),
        "features": base.data.features,
        "untouched": quality(base.model, base.data) | {"parameters": parameters(base.model)},
        "tried": [result.final.quality[base.data.task.metric] for result in tried],
        "chosen": job["candidate"][best],
        "rpr": 100 * parameters(chosen.model) / parameters(base.model),
        "certificates": [r.plan.certificate.relative_difference for r in chosen.rounds if r.plan.certificate],
        "best": quality(chosen.model, base.data),
        "rivals": {name: quality(_compressed(base, name, share).model, base.data) for name in job["rivals"]},
        "torch_pruning": quality(_in_rounds(base, share), base.data),
        "trained_on": quality(_in_rounds(base, None), base.data),
        "from_scratch": quality(scratch, base.data),
    }


def _compressed(base: Base, method: str, share: float, **settings: Any) -> sc.Result[nn.Module]:
    chosen = sc.methods.get(method, **settings)
    stage = sc.Stage(chosen, sc.Share(share), rounds=base.job["rounds"], recovery=base.recovery)
    return sc.compress(base.model, base.data.task, sc.Recipe((stage,)))


def _in_rounds(base: Base, share: float | None) -> nn.Module:
    """The original trained on for as many rounds, each after torch-pruning's cut if a share is given."""
    model, rounds = base.model, base.job["rounds"]
    for _ in range(rounds):
        part = model if share is None else torch_pruned(model, base.data, 1.0 - (1.0 - share) ** (1.0 / rounds))
        model = train(part, base.data.task, base.recovery).model
    return model
