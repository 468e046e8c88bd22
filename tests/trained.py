"""A small network, rows to train it on, and what it is compared by afterwards."""

import pytest
import torch
from torch import Tensor, nn

Pairs = list[tuple[Tensor, Tensor]]


def rows(count: int = 96, seed: int = 1) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs[:, 0] + inputs[:, 1] > 0).long()


def pairs(count: int = 96, size: int = 16, seed: int = 1) -> Pairs:
    inputs, targets = rows(count, seed)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


def net(*between: nn.Module, width: int = 8) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), *between, nn.Linear(width, 2))


def assert_same(found: nn.Module, wanted: nn.Module) -> None:
    """Both hold the same values, bit for bit."""
    ours, theirs = found.state_dict(), wanted.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def assert_differ(found: nn.Module, other: nn.Module) -> None:
    with pytest.raises(AssertionError):
        assert_same(found, other)


def accuracy(model: nn.Module, batches: Pairs) -> float:
    hits = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    return 100.0 * float(hits.double().mean())
