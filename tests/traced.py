"""Three layers for forwards of every kind, and rows for them."""

import torch
from torch import Tensor, nn


def rows(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)


class Two(Base):
    """Two inputs, a scale and a choice."""

    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0, *, flipped: bool = False) -> Tensor:
        left, right = (right, left) if flipped else (left, right)
        return self.last(self.first(left).relu() * scale + self.second(right).tanh())
