"""The two ways to export, and how what they write is run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secateur.export import export_onnx, export_program
from secateur.tracing import Example

BOTH = pytest.mark.parametrize(
    ("export", "name"), [(export_onnx, "net.onnx"), (export_program, "net.pt2")], ids=["onnx", "program"]
)
Export = Callable[[nn.Module, Path, Example], float]


class Of(nn.Module):
    """Two inputs through one layer and a function of your own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.function = function

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        return self.function(self.layer(x), x, y)


def net() -> nn.Module:
    """A net whose modes matter: in training mode it computes something else."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3))
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2.0)
    return model
