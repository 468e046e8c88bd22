"""What is not merged: others need it, it is not linear, or nobody asked for it."""

import pytest
import torch
from torch import Tensor, nn

from folded import (
    blocks,
    products,
)
from secateur.errors import ExactnessError, FoldError, UnknownNameError
from secateur.folding import always, fold


def test_a_rectifier_between_is_named() -> None:
    model, x = blocks()
    with pytest.raises(FoldError, match=r"1.conv2: it cannot be merged .*: 1.relu1 \(relu\) stands before it"):
        fold(model, x, into=["1.conv2"])


def test_only_what_is_asked_for_is_merged() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.Linear(8, 4)).eval()
    folded = fold(model, torch.randn(2, 4), into=["4"])
    assert products(folded.model) == ["0", "1", "4"]
    with pytest.raises(UnknownNameError, match="'5' is not a known linear layer"):
        fold(model, torch.randn(2, 4), into=["5"])
    with pytest.raises(FoldError, match="as one linear layer from 8 channels to 64 it would take 512 instead of 288"):
        fold(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 64)).eval(), torch.randn(2, 8), into=["1"])


class Twice(nn.Module):
    """A value that two read, a layer that is called twice, a weight that two share."""

    def __init__(self, case: str):
        super().__init__()
        self.case = case
        self.first, self.second, self.third = nn.Linear(4, 8), nn.Linear(8, 4), nn.Linear(4, 4)
        if case == "hook":
            self.second.register_forward_hook(lambda *_: None)
        if case == "tied":
            self.third.weight = self.second.weight = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(x)
        if self.case == "read":
            return self.second(inner) + inner[:, :4].relu()
        if self.case in ("weight", "hook"):
            return self.second(inner) + (self.second.weight.sum() if self.case == "weight" else 0.0)
        if self.case == "output":
            return self.second(inner), inner
        if self.case == "called":
            return self.third(self.second(inner)) + self.third(x).relu()
        return self.second(inner) + self.third(inner.relu())


@pytest.mark.parametrize(
    ("case", "place", "reason"),
    [
        ("read", "first → second", "what first (linear) gives is read 2 times (second (linear), slice); only what one"),
        (
            "output",
            "first → second",
            "what first (linear) gives is read 2 times (second (linear), the network's output)",
        ),
        ("called", "second → third", "third: it or its weights are used 2 times; give every use a module of its own"),
        ("weight", "first → second", "second: it or its weights are used 2 times; give every use a module of its own"),
        ("hook", "first → second", "second: forward hooks change or read what it computes; remove them"),
        ("tied", "first → second", "what first (linear) gives is read 2 times"),
    ],
)
def test_what_others_need_stays(case: str, place: str, reason: str) -> None:
    folded = fold(Twice(case).eval(), torch.randn(2, 4), worth=always)
    assert [(at, why[: len(reason)]) for at, why in folded.refused if at == place] == [(place, reason)]


def test_a_forward_that_asks_the_layers_for_more_is_refused_whole() -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x)) / self.first.out_features

    with pytest.raises(ExactnessError, match=r"the folded network does not run: 'Identity' object has no .*into=\["):
        fold(Asking().eval(), torch.randn(2, 4))
