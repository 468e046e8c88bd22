"""Folded networks: equal to what they came from, with the layers gone that could go."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import secateur as sc
from folded import (
    Bert,
    Inverted,
    affine,
    assert_equal,
    assert_folds_exactly,
    blocks,
    macs,
    products,
    randomised,
    settled,
)
from secateur import zoo
from secateur.depth import Affine, change_
from secateur.folding import Measured, always, fold, move_padding


def test_the_known_figures_of_a_residual_network_come_out() -> None:
    model, x = settled(zoo.build("resnet18", data="cifar", stem="3x3_pool")), torch.randn(1, 3, 32, 32)
    assert macs(model, x) == 140_186_624
    dense = model.layer1[0]
    dense.relu1 = nn.Identity()
    inner = torch.randn(2, 64, 16, 16)
    model.layer1[0] = fold(move_padding(dense, inner, worth=always).model, inner, worth=always).model
    assert model.layer1[0].conv2.kernel_size == (5, 5)
    assert macs(model, x) == 147_526_656
    model.layer1[0] = dense
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        stage[1] = nn.Identity()
    assert macs(model, x) == 64_689_152


def test_padded_kernels_are_refused_until_their_padding_is_moved() -> None:
    model, x = blocks()
    model[0].relu1, model[1].relu1 = nn.Identity(), affine(32)
    kept = fold(model, x, worth=always)
    assert [place for place, _ in kept.refused] == ["0.conv1 → 0.conv2", "1.conv1 → 1.conv2"]
    assert all("in a border of 1×1 no one convolution computes the same" in reason for _, reason in kept.refused)
    moved = move_padding(model, x, worth=always)
    assert [edit.name for edit in moved.edits] == ["0.conv1", "1.conv1"]
    assert moved.model[1].conv1.padding == (3, 3)  # 1 + stride 2 · 1
    folded = assert_folds_exactly(moved.model, x, worth=always)
    assert [edit.name for edit in folded.edits] == ["0.conv2", "1.conv2"]
    assert folded.model[1].conv2.weight.shape == (32, 16, 7, 7)
    assert folded.model[1].conv2.stride == (2, 2)


def test_moved_padding_changes_borders_alone() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Identity(), nn.Conv2d(3, 2, 3, padding=1)).eval()
    x = torch.randn(2, 2, 8, 8)
    moved = move_padding(model, x, worth=always).model
    apart = (moved(x) - model(x)).detach().abs().amax((0, 1)) > 1e-6
    assert apart[0].any() and not apart[1:-1, 1:-1].any()


def test_both_activations_of_an_inverted_residual_together_pay_and_one_alone_does_not() -> None:
    x = torch.randn(2, 8, 9, 9)
    both = settled(Inverted(8, 48, 8, affine(48), affine(48)))
    folded = assert_folds_exactly(both, x)
    assert products(folded.model) == ["conv.2.1"]
    assert folded.model.conv[2][1].weight.shape == (8, 9, 3, 3)  # a channel of ones carries the first bias
    assert macs(folded.model, x) < 0.9 * macs(both, x)
    for first, second in ((affine(48), nn.ReLU6()), (nn.ReLU6(), affine(48))):
        one = fold(settled(Inverted(8, 48, 8, first, second)), x)
        assert len(products(one.model)) == 3
        assert "worth=always merges it all the same" in one.refused[0][1]


def test_an_inverted_residual_with_stride_and_identities_folds() -> None:
    model = settled(Inverted(8, 48, 12, nn.Identity(), nn.Identity(), stride=2))
    for size in (7, 8):
        folded = assert_folds_exactly(model, torch.randn(2, 8, size, size))
        assert products(folded.model) == ["conv.2.1"]


def test_what_is_folded_at_one_resolution_is_equal_at_another() -> None:
    model = settled(Inverted(8, 48, 12, affine(48), affine(48), stride=2))
    folded = fold(model, torch.randn(2, 8, 8, 8))
    assert_equal(folded.model, model, torch.randn(1, 8, 13, 5))


def test_the_tail_of_a_mobilenet_becomes_its_classifier() -> None:
    model = zoo.build("mobilenet_v2", data="cifar", width=0.25)
    tail = settled(nn.Sequential(model.features[-1], model.pool, nn.Flatten(), model.classifier))
    tail[0][2] = affine(1280)
    x = torch.randn(2, 80, 4, 4)
    folded = assert_folds_exactly(tail, x)
    assert products(folded.model) == ["3.1"]
    assert folded.model[3][1].weight.shape == (10, 80)
    assert isinstance(folded.model[3][0], nn.Identity)  # the dropout was on units that are gone
    assert macs(folded.model, x) == 800


@pytest.mark.parametrize(
    "average",
    [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(4), nn.AdaptiveAvgPool2d((1, 1)), "mean"],
    ids=["adaptive", "average", "adaptive of two", "mean"],
)
def test_an_average_is_passed_by_kernels_of_one_alone(average: nn.Module | str) -> None:
    class Tail(nn.Module):
        def __init__(self, kernel: int):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, kernel, padding=kernel // 2), nn.Linear(8, 2)
            self.average = average if isinstance(average, nn.Module) else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            x = self.average(self.conv(x))
            return self.head(x.mean((-1, -2)) if average == "mean" else x.flatten(1))

    x = torch.randn(2, 3, 4, 4)
    assert products(assert_folds_exactly(Tail(1).eval(), x).model) == ["head"]
    kept = fold(Tail(3).eval(), x)
    reason = "head: conv with its kernel of 3×3 does not commute with the average before it; only kernels of 1 do."
    assert kept.refused == (("conv → head", reason),)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(3, 1, padding=1), nn.LPPool2d(2, 2)])
def test_nothing_passes_a_pool_that_is_no_average_of_what_there_is(pool: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), pool, nn.Conv2d(8, 2, 1)).eval()
    assert fold(model, torch.randn(2, 3, 4, 4), worth=always).edits == ()


def test_a_mean_over_features_is_no_mean_over_positions() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).mean(-1))  # over features: five tokens are left

    assert fold(Tokens().eval(), torch.randn(2, 5, 6), worth=always).edits == ()


@pytest.mark.parametrize("act", [nn.Identity(), Affine(64, -1)], ids=["identity", "affine"])
def test_an_mlp_spread_over_modules_becomes_one_linear_layer(act: nn.Module) -> None:
    model = Bert(16, 64, randomised(act)).eval()
    x = torch.randn(2, 5, 16)
    folded = assert_folds_exactly(model, x)
    assert products(folded.model) == ["before", "output.dense"]
    assert folded.model.output.dense.weight.shape == (16, 16)
    assert macs(model, x) - macs(folded.model, x) == 5 * (2 * 16 * 64 - 16 * 16)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        blocks(shortcut="B"),
        (settled(zoo.build("mobilenet_v2", width=0.25).features[:3]), torch.randn(2, 3, 16, 16)),
        (settled(zoo.build("mlp", features=6, outputs=3, hidden=(8, 8), norm="batch")), torch.randn(3, 6)),
    ],
    ids=["residual", "inverted", "table"],
)
def test_every_batch_norm_after_a_product_merges_into_it_on_request(model: nn.Module, x: Tensor) -> None:
    norms = nn.modules.batchnorm._BatchNorm
    assert any(isinstance(module, norms) for module in model.modules())
    folded = assert_folds_exactly(model, x, norms=True)
    assert not any(isinstance(module, norms) for module in folded.model.modules())


CHANNELS = st.integers(1, 4)


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """Convolutions over one or two axes with norms, lines, dropouts, averages and rectifiers between, in any order."""
    axes, before, layers = draw(st.integers(1, 2)), 3, []
    torch.manual_seed(draw(st.integers(0, 2**16)))
    for _ in range(draw(st.integers(2, 4))):
        after, kernel = draw(CHANNELS), draw(st.sampled_from((1, 1, 3)))
        groups = before if draw(st.booleans()) else 1
        shape = (kernel, draw(st.integers(1, 2)), draw(st.sampled_from((0, 0, 1))), 1, groups)
        layers.append((nn.Conv1d, nn.Conv2d)[axes - 1](before, after * groups, *shape, bias=draw(st.booleans())))
        before = after * groups
        between: dict[str, Callable[[], nn.Module]] = {
            "norm": lambda units=before: (nn.BatchNorm1d, nn.BatchNorm2d)[axes - 1](units),
            "line": lambda units=before: affine(units, -axes - 1),
            "identity": nn.Identity,
            "dropout": nn.Dropout,
            "relu": lambda: nn.ReLU(inplace=True),
            "pool": lambda: (nn.AvgPool1d, nn.AvgPool2d)[axes - 1](2, 1),
        }
        layers += [between[kind]() for kind in draw(st.lists(st.sampled_from(sorted(between)), max_size=3))]
    return settled(nn.Sequential(*layers))


@settings(max_examples=12)
@given(networks(), st.booleans(), st.sampled_from((torch.float32, torch.float64)))
def test_folding_equals_not_folding_whatever_the_network(model: nn.Module, norms: bool, dtype: torch.dtype) -> None:
    convolution = next(module for module in model if isinstance(module, nn.Conv1d | nn.Conv2d))
    model = model.to(dtype)
    images = [torch.randn(2, 3, *(size,) * len(convolution.kernel_size), dtype=dtype) for size in (40, 33, 47)]
    folded = fold(model, images[0], worth=always, norms=norms)
    for x in images:
        assert_equal(folded.model, model, x)


def test_the_edits_alone_give_the_folded_networks_shape() -> None:
    model, x = settled(Inverted(8, 48, 8, affine(48), affine(48))), torch.randn(2, 8, 9, 9)
    folded = fold(model, x, norms=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    change_(model, [change for edit in folded.edits for change in edit.changes])
    model.load_state_dict(folded.model.state_dict())
    assert torch.equal(model(x), folded.model(x))
    assert before.keys() != model.state_dict().keys()


def test_the_given_network_is_left_as_it_was() -> None:
    model, x = settled(Inverted(8, 48, 8, affine(48), affine(48))), torch.randn(2, 8, 9, 9)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fold(model, x, norms=True, worth=always)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert len(products(model)) == 3


def test_merges_are_made_by_the_clock_where_that_is_asked_for() -> None:
    model = nn.Sequential(nn.Linear(256, 2048), nn.Identity(), nn.Linear(2048, 16)).eval()
    folded = fold(model, torch.randn(2, 256), worth=Measured(rows=8))
    assert products(folded.model) == ["2"]


def test_units_go_from_folded_networks_as_from_others() -> None:
    inner = Inverted(4, 24, 4, affine(24), affine(24))
    model = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), inner, nn.ReLU(), nn.Conv2d(4, 2, 1)))
    x = torch.randn(2, 3, 8, 8)
    folded = fold(model, x, norms=True).model
    sites = sc.find_sites(folded, x)
    assert sites.names == (
        "0",
        "2.conv.2.1",
    )  # a convolution that reads a channel of ones, and one that makes its input
    for site in sites:
        sc.apply(folded, sc.plan_of(sites, {site.name: (1, 3)}), verify=True, example=x)


@settings(max_examples=15)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8), st.sampled_from((1, 3)), st.integers(1, 2))
def test_a_merge_is_made_if_and_only_if_it_takes_no_more_multiply_adds(
    read: int, between: int, made: int, kernel: int, stride: int
) -> None:
    first, second = nn.Conv2d(read, between, 1, bias=False), nn.Conv2d(between, made, kernel, stride, kernel // 2)
    model = nn.Sequential(first, second, nn.ReLU()).eval()
    pays = kernel**2 * read * made <= stride**2 * read * between + kernel**2 * between * made
    folded = fold(model, torch.randn(2, read, 8, 8))
    assert (len(products(folded.model)) == 1) == pays
    assert bool(folded.refused) != pays
