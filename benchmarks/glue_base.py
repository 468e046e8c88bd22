"""An encoder that was fine-tuned on a task of GLUE: kept with its scores, so that every cut starts from the same."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import secateur as sc
from benchmarks.embedder import method_of
from benchmarks.provenance import HERE
from secateur import data
from secateur.calibration import calibrate_all
from secateur.huggingface import opened
from secateur.inference import evaluating
from secateur.recovery import train
from secateur.scores import Observing, Scores
from secateur.task import Batch, Task

CLASS = "BertForSequenceClassification"
TUNING = ("model", "seed", "batch_size", "max_length", "training")  # what a fine-tuned model rests on
SCORING = (*TUNING, "scoring", "methods")
WHOLE, HALVES = "whole", ("first half", "second half")  # of the calibration rows


@dataclass(frozen=True)
class Base:
    """A fine-tuned encoder, its task, and what each method says of its units, by all calibration rows and by halves."""

    task: Task
    model: nn.Module
    sites: sc.Sites
    scores: dict[tuple[int, str], Scores]
    record: dict[str, Any]

    @property
    def protected(self) -> list[str]:
        """What is no part of the encoder's layers: the width of the residual stream, and the pooler."""
        return [site.name for site in self.sites if ".encoder." not in site.name]


def base_of(job: dict[str, Any]) -> Base:
    """The base of a job, fine-tuned and scored where that has not been done yet."""
    loaded = load(job, job["task"]["train"])
    model, record = _tuned(job, loaded)
    sites = sc.find_sites(model, loaded.task)
    return Base(loaded.task, model, sites, _scores(job, model, sites, loaded.task), record)


def load(job: dict[str, Any], rows: int) -> data.Data:
    """So many training rows of a task, others held out for validation; the development set is the test."""
    task, folder = job["task"], Path(job["folder"])
    options = {
        "tokenizer": folder / job["model"],
        "max_length": job["max_length"],
        "validation": task["validation"],
        "scoring": job["scoring"],
    }
    address = f"glue/{task['name']}:{folder / 'glue' / task['name']}?" + "&".join(
        f"{k}={v}" for k, v in options.items()
    )
    whole = data.load(address, seed=job["seed"], batch_size=job["batch_size"])
    limited = data.load(f"{address}&limit={rows}", seed=job["seed"], batch_size=job["batch_size"])
    judging = replace(limited.task, validation=whole.task.validation, test=whole.task.test)
    counts = {split: (whole if split in ("validation", "test") else limited).rows[split] for split in whole.rows}
    return replace(limited, task=judging, rows=counts)


def quality(model: nn.Module, task: Task) -> dict[str, dict[str, float]]:
    """The figures of GLUE on rows held out of training, and on the development set."""
    with evaluating(model) as predict:
        return {split: task.evaluate(split, predict) for split in ("validation", "test")}


def _tuned(job: dict[str, Any], loaded: data.Data) -> tuple[nn.Module, dict[str, Any]]:
    """The encoder with a head, fine-tuned but for its table of words; and what is known of that."""
    with torch.random.fork_rng():
        torch.manual_seed(job["seed"])
        model = opened(str(Path(job["folder"]) / job["model"]), CLASS, loaded.outputs)
    model.bert.embeddings.word_embeddings.weight.requires_grad = False  # type: ignore[union-attr]
    path, note = _place(job, TUNING, "safetensors"), _place(job, TUNING, "json")
    if not note.exists():
        begun = time.process_time()
        settings = sc.Recovery(seed=job["seed"], epochs=job["task"]["epochs"], **job["training"])
        trained = train(model, loaded.task, settings)
        sc.save(trained.model, path)
        record = {
            "rows": dict(loaded.rows),
            "epochs": [epoch.quality for epoch in trained.epochs],
            "best_epoch": trained.best_epoch,
            "seconds": time.process_time() - begun,
            "quality": quality(trained.model, loaded.task),
        }
        note.write_text(json.dumps(record), encoding="utf-8")
    return sc.load_weights(model, path), json.loads(note.read_text(encoding="utf-8"))


def _scores(job: dict[str, Any], model: nn.Module, sites: sc.Sites, task: Task) -> dict[tuple[int, str], Scores]:
    path = _place(job, SCORING, "scores")
    if not path.exists():
        found = {
            f"{number}/{part}/{site}": values.double().cpu().contiguous()
            for part in (WHOLE, *HALVES)
            for number, scores in enumerate(_judged(model, sites, _part(task, part), job["methods"]))
            for site, values in scores.values.items()
        }
        save_file(found, path)
    kept: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, values in load_file(path).items():
        number, part, site = name.split("/")
        kept.setdefault((int(number), part), {})[site] = values
    return {(n, part): Scores(job["methods"][n]["method"], values) for (n, part), values in kept.items()}


def _judged(model: nn.Module, sites: sc.Sites, task: Task, chosen: list[dict[str, Any]]) -> list[Scores]:
    """The scores by every method in turn, which share the passes over the data."""
    methods = [method_of(settings) for settings in chosen]
    looks = list(dict.fromkeys(method.watches for method in methods if isinstance(method, Observing)))
    seen = calibrate_all(model, sites, task, looks)
    return [
        m.judge(model, sites, seen[m.watches]) if isinstance(m, Observing) else m.score(model, sites, task)
        for m in methods
    ]


def _part(task: Task, part: str) -> Task:
    return task if part == WHOLE else replace(task, calibration=EveryOther(task, HALVES.index(part)))


@dataclass(frozen=True)
class EveryOther:
    """Every other batch of a task's calibration data."""

    task: Task
    start: int

    def __iter__(self) -> Iterator[Batch]:
        return islice(self.task.batches("calibration"), self.start, None, 2)


def _place(job: dict[str, Any], fields: tuple[str, ...], ending: str) -> Path:
    """A file in the cache for what rests on some fields of a job and of its task."""
    task = {key: job["task"][key] for key in ("name", "train", "validation", "epochs")}
    known = json.dumps({field: job[field] for field in fields} | {"task": task}, sort_keys=True)
    key = hashlib.sha256(known.encode()).hexdigest()[:16]
    folder = HERE / ".cache"
    folder.mkdir(exist_ok=True)
    return folder / f"{job['name']}-{job['task']['name']}-{key}.{ending}"
