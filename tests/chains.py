"""A chain of layers to put what cannot be followed into, and what then must hold."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from footprint import untouched
from secateur.errors import CompressionError, ModelError

Gone = Mapping[str, Sequence[int]]


class Chain(nn.Module):
    """Three layers; what stands between them is for those who derive from it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.second(self.first(x).relu())).relu())

    def between(self, hidden: Tensor) -> Tensor:
        return hidden


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def silenced_by_hooks(model: nn.Module, readers: Gone, x: Tensor) -> Tensor:
    """What a model puts out in eval mode when units are zero where layers read them, by torch's own hooks."""
    silent = copy.deepcopy(model).eval()
    for name, units in readers.items():
        gone = list(units)

        def zeroed(_: nn.Module, given: tuple[Tensor], gone: list[int] = gone) -> tuple[Tensor]:
            return (given[0].index_fill(-1, torch.tensor(gone), 0.0),)

        silent.get_submodule(name).register_forward_pre_hook(zeroed)
    return silent(x)


def assert_cut_is_exact(model: nn.Module, removed: Gone, readers: Gone, x: Tensor | None = None) -> nn.Module:
    """Cut, verified, equal to silencing by hooks, and the model left as it was; gives the cut network."""
    x = rows(5, 4) if x is None else x
    with untouched(model):
        small = sc.apply(model, sc.plan_of(sc.find_sites(model, x), removed), verify=True, example=x)
    assert [m.training for m in small.modules()] == [m.training for m in model.modules()]
    wanted = silenced_by_hooks(model, readers, x)
    tolerance = 1e-5 if x.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(copy.deepcopy(small).eval()(x), wanted, rtol=tolerance, atol=tolerance)
    return small


def refusal(model: nn.Module, example: Any = None, kind: type[CompressionError] = ModelError) -> str:
    with pytest.raises(kind) as raised:
        sc.find_sites(model, rows(5, 4) if example is None else example)
    return str(raised.value)
