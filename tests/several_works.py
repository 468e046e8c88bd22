"""What tests do in one process and in several, and compare."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from secateur import methods
from secateur.finding import find_sites
from secateur.stretches import find_layers
from secateur.inference import evaluating
from secateur.sharing import shared
from secateur.task import Task

UNIT_METHODS = ("activation_std", "apoz", "chance", "dense", "hrank", "magnitude", "obce", "ocnna", "taylor")


def network() -> nn.Module:
    """Convolutions and batch norms with statistics of their own."""
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 9),
        nn.BatchNorm1d(9),
        nn.ReLU(),
        nn.Linear(9, 3),
    )
    with torch.no_grad():
        for norm in model:
            if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
                norm.running_mean.normal_(0.0, 0.2)
                norm.weight.uniform_(0.5, 1.5)
    return model


def batches(rows: int = 45, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Images and classes; the last batch is not full."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(rows, 2, 6, 6, generator=generator)
    classes = (images.mean((2, 3)) @ torch.tensor([[3.0, -1.0, 0.5], [-2.0, 4.0, 1.0]])).argmax(1)
    return list(zip(images.split(size), classes.split(size), strict=True))


def task(**splits: Any) -> Task:
    """Classification of the images."""
    return Task.classification(**{"train": batches(), "validation": batches(20, 7), **splits})


def scored() -> dict[str, dict[str, Tensor]]:
    """The scores of all units by many methods, and of layers; and the quality."""
    model = network()
    with shared(task(), torch.device("cpu")) as together:
        sites = find_sites(model, together)
        found = {name: dict(methods.score(model, sites, together, name).values) for name in UNIT_METHODS}
        layers = find_layers(model, together)
        for name in ("easier", "nepenthe", "tlc"):
            found[name] = dict(methods.score(model, layers, together, name).values)
        found["easier by batch"] = dict(
            methods.score(model, layers, together, methods.get("easier", pool="batch")).values
        )
        with evaluating(model) as predict:
            found["quality"] = {k: torch.tensor(v) for k, v in together.evaluate("validation", predict).items()}
    return found
