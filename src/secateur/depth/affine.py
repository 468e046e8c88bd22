"""A line for every unit: what an activation becomes that is made linear."""

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """Every unit times its `weight` plus its `bias`; the units lie along `axis`, counted from behind.

    As built it changes nothing.
    """

    def __init__(self, units: int, axis: int = -1):
        super().__init__()
        if axis >= 0:
            raise ValueError(f"axis is {axis}, but counts from behind: -1 is the last")
        self.axis = axis
        self.weight = nn.Parameter(torch.ones(units))
        self.bias = nn.Parameter(torch.zeros(units))

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.weight)

    def forward(self, x: Tensor) -> Tensor:  # in a form that torch.jit.script reads, so no names of axes
        shape = [-1] + [1] * (-self.axis - 1)
        return x * self.weight.view(shape) + self.bias.view(shape)

    def extra_repr(self) -> str:
        return f"{self.units}, axis={self.axis}"
