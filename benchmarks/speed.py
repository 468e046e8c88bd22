"""Multiply-adds against the clock: networks cut to half their multiply-adds, as they come and with rounded widths."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import secateur as sc
from secateur import zoo
from secateur.measurement import compare_latency, measure_onnx_latency
from secateur.task import Task

Example = Tensor | dict[str, Tensor]


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network."""
    del folder
    return [{**experiment, "network": network} for network in experiment["networks"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Latency of the original and of each cut, in turns, beside the multiply-adds left."""
    torch.manual_seed(0)
    model, example = _network(job["network"])
    model.eval()
    sites = sc.find_sites(model, example)
    scores = sc.score(model, sites, _no_data(), "magnitude")
    protect = [site.name for site in sites if site.normalised_by] if job["network"] == "bert_base" else []
    nets, plans = [model], [sc.plan_of(sites, {})]
    for multiple in job["multiples"]:
        plans.append(sc.select(scores, sites, sc.Macs(job["macs"]), protect=protect, multiple_of=multiple))
        nets.append(sc.apply(model, plans[-1], verify=True, example=example))
    macs = [_macs(net, example) for net in nets]
    torch_ms = {
        size: [latency.median_ms for latency in compare_latency(nets, example, size)] for size in job["batch_sizes"]
    }
    onnx_ms = {size: [] for size in job["batch_sizes"]}
    with tempfile.TemporaryDirectory() as place:
        for number, net in enumerate(nets):
            path = Path(place) / f"{number}.onnx"
            sc.export_onnx(net, path, example)
            for size in job["batch_sizes"]:
                onnx_ms[size].append(measure_onnx_latency(path, example, size).median_ms)
    return {
        "network": job["network"],
        "multiples": job["multiples"],
        "macs": macs,
        "torch_ms": torch_ms,
        "onnx_ms": onnx_ms,
    }


def _network(name: str) -> tuple[nn.Module, Example]:
    if name != "bert_base":
        options = {"data": "cifar"} if name in ("vgg16_bn", "mobilenet_v2") else {}
        return zoo.build(name, **options), zoo.example(name, **options)
    from transformers import BertConfig, BertForSequenceClassification

    ids = torch.randint(5, 1000, (2, 32))
    return BertForSequenceClassification(BertConfig()), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _no_data() -> Task:
    """A task that `magnitude` never looks at."""
    return Task.classification(train=[(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))])


def _macs(net: nn.Module, example: Example) -> int:
    from secateur.counting import count
    from secateur.tracing import trace

    return round(count(trace(net, example)).macs)
