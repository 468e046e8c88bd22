"""Latency predicted before a cut against latency measured after it, for random plans."""

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import secateur as sc
from secateur import zoo
from secateur.budget import cost
from secateur.inference import evaluating
from secateur.measurement.latency import of_size
from secateur.sites import Sites
from secateur.timing import clock_for
from secateur.tracing import arguments_of_example

Example = Tensor | dict[str, Tensor]
LEAST = 5  # turns


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network and batch size."""
    del folder
    return [
        {**experiment, "network": network, "batch_size": size}
        for size in experiment["batch_sizes"]
        for network in experiment["networks"]
    ]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """A record for each plan: the cut network's share of the original's time, predicted and measured, and of its work.

    The table of operators begins empty. Seconds are of the processor.
    """
    torch.manual_seed(job["seed"])
    model, example = _network(job["network"], job["tokens"])
    sites = sc.find_sites(model, example)
    draws = random.Random(job["seed"])
    with tempfile.TemporaryDirectory() as place:
        begun = time.thread_time()
        clock = clock_for(model, example, job["batch_size"], path=Path(place) / "times.json")
        built = time.thread_time() - begun
        plans = []
        for _ in range(job["plans"]):
            plan = sc.plan_of(sites, _drawn(sites, draws))
            small = sc.apply(model, plan)
            before, begun = clock.table.measured, time.thread_time()
            predicted = clock.milliseconds(small) / clock.original
            first, begun = time.thread_time() - begun, time.thread_time()
            clock.milliseconds(small)
            again = time.thread_time() - begun
            plans.append(
                {
                    "predicted": predicted,
                    "measured": _measured(model, small, example, job),
                    "macs": cost(sites, plan.removed).macs / cost(sites, {}).macs,
                    "newly_timed": clock.table.measured - before,
                    "seconds": first,
                    "seconds_known": again,
                }
            )
    about = {"network": job["network"], "batch_size": job["batch_size"], "original_ms": clock.original}
    return about | {"seconds_original": built, "operators": len(clock.table.times), "plans": plans}


def _drawn(sites: Sites, draws: random.Random) -> dict[str, list[int]]:
    """Random units of every site: shares spread around one of the plan's own; twins lose as many."""
    level = draws.uniform(0.05, 0.9)
    lost: dict[str, int] = {}
    for site in sites:
        share = min(max(draws.gauss(level, 0.2), 0.0), 0.95)
        twin = next((name for name in site.twins if name in lost), None)
        lost[site.name] = min(int(site.steps * share), site.steps - 1) if twin is None else lost[twin]
    return {
        site.name: [block * site.steps + unit for block in range(site.blocks) for unit in chosen]
        for site in sites
        if (chosen := draws.sample(range(site.steps), lost[site.name]))
    }


def _measured(model: nn.Module, small: nn.Module, example: Example, job: dict[str, Any]) -> float:
    """The cut network's share of the original's processor time: the median over turns, each network first in half."""
    arguments = of_size(arguments_of_example(example), job["batch_size"])
    ratios: list[float] = []
    with evaluating(model) as original, evaluating(small) as cut:
        end = 0.0
        for turn in range(10_000):
            order = (original, cut) if turn % 2 else (cut, original)
            taken = {predict: _processor_ns(lambda predict=predict: predict(arguments)) for predict in order}
            if turn:  # the first is for warming up
                ratios.append(taken[cut] / taken[original])
            else:
                end = time.thread_time() + job["seconds"]
            if len(ratios) >= LEAST and time.thread_time() > end:
                break
    return statistics.median(ratios)


def _processor_ns(call: Any) -> int:
    start = time.thread_time_ns()
    call()
    return time.thread_time_ns() - start


def _network(name: str, tokens: int) -> tuple[nn.Module, Example]:
    """A network with random weights, and an example."""
    if name == "bert_small":
        return _encoder(tokens)
    options: dict[str, Any] = {"data": "cifar"} if name == "mobilenet_v2" else {}
    if name == "mlp":
        options = {"features": 64, "outputs": 10, "hidden": (512, 512, 256)}
    return zoo.build(name, **options).eval(), zoo.example(name, **options)


def _encoder(tokens: int) -> tuple[nn.Module, Example]:
    """An encoder of MiniLM-L6's size (Wang et al., 2020, arXiv 2002.10957)."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    ids = torch.randint(5, 1000, (2, tokens))
    return BertForSequenceClassification(config).eval(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
