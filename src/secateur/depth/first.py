"""Parts in the place of a module that is called with several inputs."""

from typing import Any

from torch import Tensor, nn


class First(nn.Module):
    """Its parts one after the other on the first input; what else it is called with is left out."""

    def __init__(self, *parts: nn.Module):
        super().__init__()
        for number, part in enumerate(parts):
            self.add_module(str(number), part)

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        """What the last part makes of the first input."""
        for part in self.children():
            x = part(x)
        return x
