"""A small network to measure, and batches for it."""

import torch
from torch import Tensor, nn


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3, bias=False))


def batches(rows: int = 20) -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(rows, 4)
    return [(inputs[:12], torch.arange(12) % 3), (inputs[12:], torch.arange(rows - 12) % 3)]
