"""Groups: what goes together is what torch-pruning takes together, on the convolutional networks that it supports."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from peer_groups import groups_of_ours, groups_of_peer
from secateur.finding import find_sites

IMAGES = (2, 3, 16, 16)


def normed(before: int, after: int, size: int = 3, groups: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Plain(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3), nn.Flatten(), nn.Linear(100, 6)
        )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = normed(3, 6)
        self.inner = nn.Sequential(normed(6, 5), normed(5, 6))
        self.wider = nn.Sequential(normed(6, 4, stride=2), normed(4, 8))
        self.shortcut = normed(6, 8, size=1, stride=2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.inner(x)
        x = self.shortcut(x) + self.wider(x)
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = normed(3, 4)
        self.layers = nn.ModuleList(normed(4 + 3 * n, 3) for n in range(3))
        self.transition = normed(13, 5, size=1)
        self.head = nn.Linear(5 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        x = nn.functional.avg_pool2d(self.transition(x), 4)
        return self.head(x.flatten(1))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = normed(3, 6)
        self.branches = nn.ModuleList((normed(6, 2, size=1), normed(6, 3), normed(6, 4, size=5)))
        self.behind = normed(9, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([branch(x) for branch in self.branches], 1)
        return self.head(nn.functional.adaptive_avg_pool2d(self.behind(x), 1).flatten(1))


class Inverted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = normed(3, 4)
        self.expand = normed(4, 8, size=1)
        self.spread = normed(8, 8, groups=8)
        self.gate = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        wide = self.spread(self.expand(x))
        wide = wide * self.gate(wide.mean((2, 3), keepdim=True))
        return self.head((x + self.project(wide)).mean((2, 3)))


@pytest.mark.parametrize("build", [Plain, Residual, Dense, Branches, Inverted])
def test_groups_equal_those_of_torch_pruning(build: Callable[[], nn.Module]) -> None:
    model, images = build().eval(), torch.randn(IMAGES)
    theirs = groups_of_peer(build().eval(), images)
    assert groups_of_ours(model, find_sites(model, images)) == theirs
    assert theirs
