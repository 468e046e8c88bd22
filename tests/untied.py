"""Networks whose forwards call one activation several times, or as a function."""

import torch
from torch import Tensor, nn

from secateur.activations import find_activations
from secateur.sites import Activation


class Block(nn.Module):
    """Torchvision's way: one module called twice; and what others may read on it."""

    expansion = 1

    def __init__(self, act: nn.Module):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(4, 4), act, nn.Linear(4, 4)
        self.unused = nn.Parameter(torch.ones(2))
        self.stride = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.last(self.act(self.first(x))) + x)


def around(*layers: nn.Module) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def activations_of(model: nn.Module) -> tuple[Activation, ...]:
    return find_activations(model, torch.randn(2, 3)).activations
