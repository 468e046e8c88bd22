"""Small networks, explained, and hooks that see what their units put out."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import secateur as sc
from secateur.explaining import Detail
from secateur.explanation import Explanation, Outputs
from secateur.task import Task


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 2)).eval()


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    ).eval()  # fmt: skip


def rows(count: int = 40, *shape: int) -> Tensor:
    return torch.randn(count, *(shape or (4,)), generator=torch.Generator().manual_seed(3))


def put_out(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer puts out, by a hook of PyTorch's own."""
    found: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, value: found.append(value.detach()))
    model(x)
    handle.remove()
    return found[0]


def explained(model: nn.Module, task: Task, method: str, **detail: object) -> Explanation:
    return sc.explain(model, sc.find_sites(model, task), task, method, detail=Detail(**detail))  # type: ignore[arg-type]


def every(explanation: Explanation) -> Iterator[tuple[str, int, Outputs]]:
    for site in explanation.sites:
        for unit in site.shown:
            for outputs in unit.outputs:
                yield site.name, unit.number, outputs
