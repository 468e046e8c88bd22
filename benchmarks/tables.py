"""Dense networks on tables: every method and compensation, before and after recovery, with controls and a peer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import secateur as sc
from benchmarks.peers import boosted_trees, torch_pruned
from secateur import data, zoo
from secateur.compensation import repair
from secateur.inference import evaluating
from secateur.pipeline import reinitialised
from secateur.plan import Plan
from secateur.recovery import train
from secateur.scores import Scores
from secateur.surgery import certified


@dataclass(frozen=True)
class Base:
    """A trained over-sized network on one table, everything known of its units, and the job.

    `done` keeps what was measured: methods that choose the same units are not run twice.
    """

    data: data.Data
    model: nn.Module
    sites: sc.Sites
    scores: Mapping[str, Scores]
    job: Mapping[str, Any]
    done: dict[Any, dict[str, Any]] = field(default_factory=dict)

    @property
    def recovery(self) -> sc.Recovery:
        """How every cut network is trained."""
        epochs = self.job["size"]["recovery"]
        return sc.Recovery(epochs=epochs, seed=self.job["seed"], teacher=self.model, **self.job["recovery"])


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job per table and seed, the shortest first."""
    shared = {key: value for key, value in experiment.items() if key not in ("table", "seeds", "size")}
    sizes = sorted(experiment["size"], key=lambda size: size["rows"])
    return [
        {**shared, "table": table, "seed": seed, "folder": str(folder), "size": _size(sizes, table["rows"])}
        for table in sorted(experiment["table"], key=lambda table: table["rows"])
        for seed in experiment["seeds"]
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """All that is measured on one table with one seed."""
    base = trained(job)
    untouched = quality(base.model, base.data)
    held, searched = _search(base, untouched)
    small, plan = cut(base, job["searched_with"][0], held)
    peer = torch_pruned(base.model, base.data, held)
    return {
        "table": job["table"]["name"],
        "seed": job["seed"],
        "kind": base.data.kind,
        "rows": dict(base.data.rows),
        "features": base.data.features,
        "untouched": untouched | {"parameters": parameters(base.model)},
        "trained_on": quality(train(base.model, base.data.task, base.recovery).model, base.data),
        "boosted_trees": boosted_trees(base.data, job["seed"]),
        "share": held,
        "searched": searched,
        "rpr": 100 * parameters(small) / parameters(base.model),
        "certificate": plan.certificate.relative_difference if plan.certificate else None,
        "untrained": [compensated(base, m, c, s)[1] for s in job["shares"] for m, c in _pairs(job)],
        "recovered": [recovered(base, method, how, held) for method, how in _pairs(job)],
        "from_scratch": quality(
            train(reinitialised(small, job["seed"]), base.data.task, training(job)).model, base.data
        ),
        "torch_pruning": {
            "cut": quality(peer, base.data),
            "recovered": quality(train(peer, base.data.task, base.recovery).model, base.data),
            "rpr": 100 * parameters(peer) / parameters(base.model),
        },
    }


def _size(sizes: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    return next(size for size in sizes if rows <= size["rows"])


def trained(job: dict[str, Any]) -> Base:
    table, seed, folder = job["table"], job["seed"], Path(job["folder"])
    options = table["options"].replace("test=", f"test={folder}/") if "test=" in table["options"] else table["options"]
    loaded = data.load(f"csv:{folder / table['file']}?{options}", seed=seed, batch_size=job["size"]["batch_size"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = tuple(job["network"]["hidden"])
        model = zoo.build("mlp", features=loaded.features, outputs=loaded.outputs, hidden=hidden)
    model = train(model, loaded.task, training(job)).model
    sites = sc.find_sites(model, loaded.task)
    return Base(loaded, model, sites, _scores(model, sites, loaded, job), job)


def _scores(model: nn.Module, sites: sc.Sites, loaded: data.Data, job: dict[str, Any]) -> dict[str, Scores]:
    scores = {}
    for name, settings in job["methods"].items():
        chosen = {"method": name} | settings | ({"seed": job["seed"]} if name == "chance" else {})
        scores[name] = sc.score(model, sites, loaded.task, sc.methods.get(chosen.pop("method"), **chosen))
    return scores


def training(job: dict[str, Any]) -> sc.Recovery:
    return sc.Recovery(epochs=job["size"]["training"], seed=job["seed"], **job["training"])


def _search(base: Base, untouched: dict[str, float]) -> tuple[float, list[dict[str, float]]]:
    """The largest share whose recovered network holds the validation quality, and what every share gave."""
    method, how = base.job["searched_with"]
    found = []
    for share in base.job["shares"]:
        quality = recovered(base, method, how, share)["recovered"]["validation"]
        found.append({"share": share, "validation": quality})
    least = untouched["validation"] - base.job["allowed_drop"]
    held = [cell["share"] for cell in found if cell["validation"] >= least]
    return (max(held) if held else min(base.job["shares"])), found


def _pairs(job: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method, how) for method in job["methods"] for how in job["compensations"]]


def cut(base: Base, method: str, share: float) -> tuple[nn.Module, Plan]:
    plan = sc.select(base.scores[method], base.sites, sc.Share(share))
    return certified(base.model, plan, base.data.task)


def compensated(base: Base, method: str, how: str, share: float) -> tuple[nn.Module, dict[str, Any]]:
    small, plan = cut(base, method, share)
    key = (units(plan), how)
    if key not in base.done:
        repaired = repair(small, base.model, plan, base.data.task, how=how)
        refused = [fold.reason for fold in repaired.folds if fold.used != how]
        after = quality(repaired.model, base.data)
        base.done[key] = {"model": repaired.model, "compensated": after, "refused": refused}
    cell = {name: value for name, value in base.done[key].items() if name != "model"}
    return base.done[key]["model"], {"method": method, "compensation": how, "share": share} | cell


def recovered(base: Base, method: str, how: str, share: float) -> dict[str, Any]:
    model, cell = compensated(base, method, how, share)
    key = (units(cut(base, method, share)[1]), how, "recovered")
    if key not in base.done:
        base.done[key] = quality(train(model, base.data.task, base.recovery).model, base.data)
    return cell | {"recovered": base.done[key]}


def units(plan: Plan) -> Any:
    return tuple(sorted((site, tuple(sorted(units))) for site, units in plan.removed.items()))


def quality(model: nn.Module, loaded: data.Data) -> dict[str, float]:
    task = loaded.task
    with evaluating(model) as predict:
        return {split: task.evaluate(split, predict)[task.metric] for split in ("validation", "test")}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
