"""A skip around an inner layer, and rows for it."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A skip around an inner layer with a norm, so that the whole inner layer can go."""

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.inner = nn.Linear(6, 5)
        self.norm = norm or nn.LayerNorm(5)
        self.outer = nn.Linear(5, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last(x + self.outer(self.norm(self.inner(x)).relu()))


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))
