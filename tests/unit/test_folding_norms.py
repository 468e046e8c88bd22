"""Folded norms: merged into the products beside them where that is asked for and exact."""

import pytest
import torch
from torch import Tensor, nn

from folded import (
    affine,
    assert_equal,
    assert_folds_exactly,
    blocks,
    products,
    settled,
)
from secateur import zoo
from secateur.depth import Affine
from secateur.folding import always, fold


def test_a_whole_network_folds_its_norms() -> None:
    model, x = settled(zoo.build("resnet20", shortcut="B")), zoo.example("resnet20")
    folded = fold(model, x, norms=True)
    assert_equal(folded.model, model, x)
    assert [name for name, module in folded.model.named_modules() if isinstance(module, nn.BatchNorm2d)] == []


def test_without_a_request_batch_norms_stay() -> None:
    model, x = blocks()
    folded = fold(model, x)
    assert folded.edits == folded.refused == ()
    assert str(folded.model) == str(model)


def test_a_line_merges_into_the_batch_norm_before_it() -> None:
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), affine(4), nn.MaxPool2d(2)))
    folded = assert_folds_exactly(model, torch.randn(2, 3, 8, 8))
    assert isinstance(folded.model[1], nn.BatchNorm2d) and isinstance(folded.model[2], nn.Identity)
    plain = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), affine(4), nn.MaxPool2d(2)))
    assert isinstance(assert_folds_exactly(plain, torch.randn(2, 3, 8, 8)).model[2], Affine)  # it has nothing to scale


def test_a_batch_norm_whose_weight_is_zero_folds_to_its_bias() -> None:
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), affine(4), nn.Conv2d(4, 2, 3)))
    nn.init.zeros_(model[1].weight)
    folded = assert_folds_exactly(model, torch.randn(2, 3, 8, 8), norms=True)
    assert float(folded.model[3].weight.detach().abs().max()) == 0


@pytest.mark.parametrize(
    ("norm", "training", "reason"),
    [
        (
            nn.BatchNorm2d(4),
            True,
            "1: this batch-norm is in training mode, in which it takes its statistics from the batch",
        ),
        (
            nn.BatchNorm2d(4, track_running_stats=False),
            False,
            "1: this batch-norm of 4 channels has no running statistics",
        ),
    ],
)
def test_a_batch_norm_that_is_not_linear_keeps_its_neighbours_apart(
    norm: nn.Module, training: bool, reason: str
) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.Conv2d(4, 2, 1)).eval()
    norm.train(training)
    folded = fold(model, torch.randn(2, 3, 5, 5), worth=always)
    assert folded.edits == ()
    assert folded.refused[0][0] == "0 → 2"
    assert folded.refused[0][1].startswith(reason)
    assert ("1", folded.refused[0][1]) in fold(model, torch.randn(2, 3, 5, 5), norms=True).refused


class PreNorm(nn.Module):
    """The MLP of a vision transformer's layer."""

    def __init__(self, act: nn.Module):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 32), act, nn.Dropout(), nn.Linear(32, 8))
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.uniform_(self.norm.bias, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


def test_the_scale_of_a_layer_norm_merges_into_what_alone_reads_it_on_request() -> None:
    x = torch.randn(2, 5, 8)
    folded = assert_folds_exactly(PreNorm(affine(32, -1)).eval(), x, norms=True, skips=True)
    assert products(folded.model) == ["mlp.3"]
    assert not folded.model.norm.elementwise_affine
    bent = assert_folds_exactly(PreNorm(nn.GELU()).eval(), x, norms=True)
    assert products(bent.model) == ["mlp.0", "mlp.3"] and not bent.model.norm.elementwise_affine
    kept = assert_folds_exactly(PreNorm(affine(32, -1)).eval(), x)
    assert products(kept.model) == ["mlp.3"] and kept.model.norm.elementwise_affine
