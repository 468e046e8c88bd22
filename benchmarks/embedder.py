"""A sentence embedder cut without labels or training: judged on pairs of sentences, timed, its scores on halves."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel

import secateur as sc
from secateur import halves
from secateur.compensation import repair
from secateur.composing import compose
from secateur.counting import count
from secateur.data.texts import glue
from secateur.data.texts.written import Texts
from secateur.inference import evaluating
from secateur.measurement import compare_latency
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import trace

SIZES = [(1, 32), (1, 128), (32, 32), (32, 128)]  # sentences and tokens that are timed
THREADS = 2
COUNTED = 32  # tokens of the sentence whose multiply-adds are counted


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The untouched model, each recipe, how steady every score is, and every cut by some methods at once."""
    apart = ("grid", "recipe", "title", "methods")
    shared = {key: value for key, value in experiment.items() if key not in apart} | {"folder": str(folder)}
    found = [shared | {"part": "untouched"}]
    found += [shared | {"part": "recipe"} | recipe for recipe in experiment["recipe"]]
    if experiment["methods"]:
        found.append(shared | {"part": "stability", "methods": experiment["methods"]})
    for grid in experiment["grid"]:
        found += [shared | {"part": "grid", "cut": grid["cut"], "methods": methods} for methods in grid["methods"]]
    return found


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The record of one job."""
    model, task = embedder(job), sentences(job)
    match job["part"]:
        case "untouched":
            return {
                "part": "untouched",
                "spearman": spearman(model, job, 1),
                "every": spearman(model, job, job["every"]),
            } | costs(model)
        case "stability":
            return {"part": "stability", "records": [_stability(model, task, settings) for settings in job["methods"]]}
        case "recipe":
            return _recipe(model, task, job)
    return _grid(model, task, job)


def embedder(job: dict[str, Any]) -> nn.Module:
    """The model without its pooler, which embeds nothing."""
    return BertModel.from_pretrained(Path(job["folder"]) / job["model"], add_pooling_layer=False).eval()


def _grid(model: nn.Module, task: Task, job: dict[str, Any]) -> dict[str, Any]:
    sites = sc.find_sites(model, task)
    record: dict[str, Any] = {"part": "grid", "cut": job["cut"], "methods": []}
    for settings in job["methods"]:
        begun = time.process_time()
        scores = sc.score(model, sites, task, method_of(settings))
        found: dict[str, Any] = {"method": settings, "seconds": {"scoring": time.process_time() - begun}, "every": {}}
        plan = sc.select(scores, sites, counts(sites, sites, job["cut"], 1.0), protect=residual(sites))
        small = sc.apply(model, plan)
        record |= costs(small)
        for how in job["compensations"]:
            begun = time.process_time()
            mended = repair(small, model, plan, task, how=how).model
            found["seconds"][how] = time.process_time() - begun
            found["every"][how] = spearman(mended, job, job["every"])
        record["methods"].append(found)
        print(record["cut"], found, flush=True)
    return record


def _recipe(model: nn.Module, task: Task, job: dict[str, Any]) -> dict[str, Any]:
    """A cut in rounds, each mended, judged on all pairs and timed beside the original."""
    begun, first = time.process_time(), sc.find_sites(model, task)
    small, whole = model, None
    for number in range(job["rounds"]):
        sites = sc.find_sites(small, task)
        scores = sc.score(small, sites, task, method_of(job["method"]))
        due = counts(first, sites, job["cut"], (number + 1) / job["rounds"])
        plan = sc.select(scores, sites, due, protect=residual(sites))
        whole = plan if whole is None else compose(whole, plan)
        small = repair(sc.apply(small, plan), small, plan, task, how="reconstruct").model
    record: dict[str, Any] = {key: job[key] for key in ("part", "method", "cut", "rounds")}
    record |= {"seconds": time.process_time() - begun, "spearman": spearman(small, job, 1)} | costs(small)
    record["ms"] = {}
    for rows, tokens in SIZES:
        times = compare_latency([model, small], words(rows, tokens), rows, threads=THREADS)
        record["ms"][f"{rows} x {tokens}"] = [each.median_ms for each in times]
    return record


def _stability(model: nn.Module, task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """What two halves of the sentences agree on, when half of the units go: of neurons, and of attention."""
    sites = sc.find_sites(model, task)
    found = halves.stability(model, sites, task, method_of(settings))
    kinds = {
        "neurons": [name for name in found if "intermediate" in name],
        "attention": [name for name in found if "attention" in name],
    }
    means = {kind: halves.mean({name: found[name] for name in names}) for kind, names in kinds.items()}
    return {"method": settings} | {kind: vars(each) for kind, each in means.items()}


def method_of(settings: dict[str, Any]) -> Any:
    """The method that settings name."""
    return sc.methods.get(settings["method"], **{key: value for key, value in settings.items() if key != "method"})


def counts(first: Sites, now: Sites, cut: dict[str, float], part: float) -> sc.Count:
    """How many units of every site still have to go until a part of its share is gone."""
    shares = {"intermediate": cut.get("neurons", 0.0), "attention": cut.get("attention", 0.0)}
    found = {}
    for site in first:
        share = next((share for kind, share in shares.items() if kind in site.name), 0.0)
        due = round(share * part * site.units / site.blocks) * site.blocks - (site.units - now[site.name].units)
        found |= {site.name: due} if due > 0 else {}
    return sc.Count(found)


def residual(sites: Sites) -> list[str]:
    """The width of the residual stream, which stays."""
    return [site.name for site in sites if "embeddings" in site.name]


def costs(model: nn.Module) -> dict[str, Any]:
    macs = count(trace(model, words(2, COUNTED))).macs
    encoder = sum(weight.numel() for weight in model.encoder.parameters())  # type: ignore[union-attr]
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "encoder": encoder, "macs": macs}


def words(rows: int, tokens: int) -> dict[str, Tensor]:
    ids = torch.randint(1000, 30000, (rows, tokens), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def sentences(job: dict[str, Any]) -> Task:
    """Plain sentences to calibrate on; the difference of token vectors is all that is asked."""
    texts = _texts(job, "train")
    known = sorted({text for column in texts.columns for text in column})
    drawn = np.random.default_rng(job["seed"]).choice(len(known), job["calibration"], replace=False)
    return Task.of(
        metric="spearman",
        loss=lambda output, _: output[0].square().mean(),
        sums=lambda *_: torch.zeros(1),
        quality=lambda _: {"spearman": 0.0},
        distance=lambda found, wanted, _: F.mse_loss(found[0], wanted[0]),
        calibration=_batches(job, [known[number] for number in drawn]),
    )


def spearman(model: nn.Module, job: dict[str, Any], every: int) -> float:
    """Spearman's correlation, in points, of the cosines of pairs of sentences with what people said of them."""
    texts = _texts(job, "test")
    columns = [column[::every] for column in texts.columns]
    order = _by_length({text for column in columns for text in column})
    with evaluating(model) as predict:
        parts = [_pooled(predict(((), batch))[0], batch["attention_mask"]) for batch in _batches(job, order)]
    vectors = dict(zip(order, F.normalize(torch.cat(parts)), strict=True))
    cosines = [float(vectors[one] @ vectors[other]) for one, other in zip(*columns, strict=True)]
    assert texts.labels is not None
    return 100.0 * float(spearmanr(cosines, texts.labels[::every]).statistic)


def _pooled(tokens: Tensor, mask: Tensor) -> Tensor:
    return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _batches(job: dict[str, Any], sentences: Iterable[str]) -> list[dict[str, Tensor]]:
    """In the order of their lengths."""
    tokenizer = AutoTokenizer.from_pretrained(Path(job["folder"]) / job["model"])
    ordered = _by_length(sentences)
    parts = [ordered[start : start + job["batch_size"]] for start in range(0, len(ordered), job["batch_size"])]
    found = [tokenizer(part, padding=True, truncation=True, max_length=128, return_tensors="pt") for part in parts]
    return [{"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]} for batch in found]


def _by_length(sentences: Iterable[str]) -> list[str]:
    return sorted(sentences, key=lambda text: (len(text), text))


def _texts(job: dict[str, Any], part: str) -> Texts:
    return glue.read("stsb", Path(job["folder"]) / "glue" / "stsb").parts[part]  # type: ignore[index]
