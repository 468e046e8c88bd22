"""Blocks with a skip, or other linear ways beside each other, as one layer."""

import pytest
import torch
from torch import Tensor, nn

from folded import Bert, Inverted, affine, assert_equal, assert_folds_exactly, macs, products, settled
from secateur import zoo
from secateur.depth import Affine, First, change_
from secateur.folding import always, fold, move_padding


def linear_blocks(shortcut: str) -> tuple[nn.Module, Tensor]:
    """Two blocks of a residual network whose inner activations are gone and whose padding is moved."""
    model = zoo.build("resnet20", shortcut=shortcut)
    model.layer1[1].relu1, model.layer2[0].relu1 = nn.Identity(), affine(32)
    model = settled(nn.Sequential(model.layer1[1], model.layer2[0]))
    x = torch.randn(2, 16, 9, 9)
    return move_padding(model, x, worth=always).model, x


def test_a_residual_block_becomes_one_convolution_and_its_rectifier() -> None:
    model, x = linear_blocks("B")
    folded = assert_folds_exactly(model, x, worth=always, skips=True)
    assert products(folded.model) == ["0.0", "1.0"]
    assert [type(module) for module in folded.model[0]] == [nn.Conv2d, nn.ReLU]
    assert folded.model[1][0].weight.shape == (32, 16, 7, 7)  # the shortcut's 1×1 lies in its middle
    assert_equal(folded.model, model, torch.randn(1, 16, 12, 15))


def test_a_shortcut_that_is_no_linear_layer_stays() -> None:
    model, x = linear_blocks("A")
    folded = assert_folds_exactly(model, x, precise=False, worth=always, skips=True)
    assert products(folded.model) == ["0.0", "1.conv2"]


class Skipped(Inverted):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def test_an_inverted_residual_with_its_skip_becomes_one_dense_convolution() -> None:
    model = settled(nn.Sequential(Skipped(8, 48, 8, affine(48), affine(48)), nn.ReLU()))
    x = torch.randn(2, 8, 9, 9)
    folded = assert_folds_exactly(model, x, skips=True)
    assert products(folded.model) == ["0.1"]
    assert macs(folded.model, x) < 0.9 * macs(model, x)


def test_the_mlp_of_a_bert_layer_takes_its_skip_in() -> None:
    model, x = Bert(16, 64, Affine(64)).eval(), torch.randn(2, 5, 16)
    folded = assert_folds_exactly(model, x, skips=True)
    assert isinstance(folded.model.output, First)
    assert [type(module) for module in folded.model.output.children()] == [nn.Linear, nn.LayerNorm]


def test_linear_blocks_after_each_other_become_one_after_all() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(x)

    model = nn.Sequential(Block(), Block(), nn.ReLU(), Block()).eval()
    folded = assert_folds_exactly(model, torch.randn(3, 6), precise=False, skips=True)
    assert products(folded.model) == ["1", "3"]


def test_the_edits_alone_give_the_shape_of_absorbed_blocks() -> None:
    for model, x in (linear_blocks("B"), (Bert(16, 64, Affine(64)).eval(), torch.randn(2, 5, 16))):
        folded = fold(model, x, worth=always, norms=True, skips=True)
        change_(model, [change for edit in folded.edits for change in edit.changes])
        model.load_state_dict(folded.model.state_dict())
        assert torch.equal(model(x), folded.model(x))


def test_without_a_request_blocks_stay() -> None:
    model, x = linear_blocks("B")
    assert type(fold(model, x, worth=always).model[0]) is type(model[0])


class Beside(nn.Module):
    """Two ways that do not add up to one map, or a module that is called with more than its input."""

    def __init__(self, case: str):
        super().__init__()
        self.case = case
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, padding=0)
        if case == "sizes":
            self.left, self.right = nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 2, 2)
        if case == "ring":
            self.right = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        inner = self.left(x) * factor if factor < 0 else self.left(x)
        if self.case == "read":
            return (inner + self.right(x)) * inner.mean()
        return inner + self.right(x)


class Around(nn.Module):
    def __init__(self, case: str):
        super().__init__()
        self.block = Beside(case)
        self.case = case

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(x)
        return (self.block(x, factor=2.0) if self.case == "called" else self.block(x)).relu()


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("plain", None),
        ("read", ""),
        ("sizes", r"left (kernel 3×3, padding 0×0) and block.right (kernel 2×2, padding 0×0) put out different sizes"),
        ("ring", "in a border of 1×1 no one convolution computes the same"),
        ("called", "block: it is called with different inputs or gives several outputs; only one of each folds."),
    ],
)
def test_ways_that_are_no_one_map_stay(case: str, reason: str | None) -> None:
    model, x = Around(case).eval(), torch.randn(2, 4, 9, 9)
    folded = fold(model, x, worth=always, skips=True)
    assert (folded.edits == ()) == (reason is not None)
    if reason:
        assert any(place == "block" and reason in why for place, why in folded.refused)


def test_a_block_that_would_cost_more_stays_and_says_so() -> None:
    class Depthwise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.deep, self.flat = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.deep(x) + self.flat(x)

    model, x = nn.Sequential(Depthwise(), nn.ReLU()).eval(), torch.randn(2, 8, 5, 5)
    (entry,) = fold(model, x, skips=True).refused
    assert entry[0] == "0" and "as one 3×3 from 8 channels to 8 it would take 14,400 instead of 3,400" in entry[1]
    assert products(assert_folds_exactly(model, x, skips=True, worth=always).model) == ["0"]


def test_what_has_a_channel_of_ones_merges_further() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1)).eval()
    x = torch.randn(2, 3, 6, 6)
    folded = assert_folds_exactly(model, x, precise=False).model
    folded[2] = affine(4)
    again = assert_folds_exactly(folded, x)
    assert products(again.model) == ["3.1"]
    assert again.model[3][1].weight.shape == (4, 4, 3, 3)


def test_a_bert_of_transformers_folds_across_its_modules() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=20, max_position_embeddings=8, **sizes)).eval()
    model.encoder.layer[1].intermediate.intermediate_act_fn = affine(64, -1)
    given = {"input_ids": torch.randint(1, 20, (2, 5)), "attention_mask": torch.ones(2, 5, dtype=torch.long)}
    folded = fold(model, given, skips=True)
    assert folded.refused == ()
    assert [edit.name for edit in folded.edits] == ["encoder.layer.1.output.dense", "encoder.layer.1.output"]
    assert next(folded.model.encoder.layer[1].output.children()).weight.shape == (16, 16)
    with torch.no_grad():
        found, wanted = (net(**given).last_hidden_state for net in (folded.model, model))
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
