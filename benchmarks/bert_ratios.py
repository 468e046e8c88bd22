"""How many parameters of BERT are left when every layer loses the same share of its units: counted, not trained."""

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

import secateur as sc
from secateur.budget import cost
from secateur.sites import Sites

FINE = 400  # steps of the shares among which those are looked for that leave what was published


def jobs(experiment: dict[str, Any], _: Path) -> list[dict[str, Any]]:
    """One job for each network."""
    shared = {key: experiment[key] for key in ("name", "kind", "shares", "modules")}
    return [shared | {"network": network} for network in experiment["network"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """What is left at each share for each choice of modules, and which share leaves what was published."""
    network = job["network"]
    model = BertForSequenceClassification(BertConfig(**network["config"])).eval()
    sites = sc.find_sites(model, {"input_ids": torch.zeros(2, 8, dtype=torch.long)})
    whole = sum(parameter.numel() for parameter in model.parameters())
    del model
    choices = []
    for modules in job["modules"]:
        left = {str(share): _left(sites, modules["sites"], share) / whole for share in job["shares"]}
        wanted = {
            name: _share_for(sites, modules["sites"], percent / 100 * whole)
            for name, percent in network["published"].items()
        }
        choices.append({"modules": modules["name"], "left": left, "share": wanted})
    return {"network": network["name"], "parameters": whole, "published": network["published"], "choices": choices}


def _left(sites: Sites, parts: list[str], share: float) -> int:
    """Parameters without a share of the units of every site whose name holds one of the parts."""
    removed = {}
    for site in sites:
        if any(part in site.name for part in parts):
            length = site.units // site.blocks
            gone = min(round(share * length), length - 1)
            removed[site.name] = [block * length + unit for block in range(site.blocks) for unit in range(gone)]
    return cost(sites, removed).parameters


def _share_for(sites: Sites, parts: list[str], wanted: float) -> float | None:
    """The smallest share that leaves no more parameters than wanted; None where none does."""
    low, high = 0, FINE
    if _left(sites, parts, 1.0) > wanted:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _left(sites, parts, middle / FINE) <= wanted else (middle + 1, high)
    return low / FINE
