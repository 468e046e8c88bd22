"""Two linear operations as one: equal to both, or refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convolved import convolved, maps, pairs
from secateur.errors import FoldError
from secateur.folding.algebra import composed, joined, summed
from secateur.folding.maps import Map, linear, norm_scale, scale, unchanged, without_groups

EXACT = 1e-10


def assert_equal(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= EXACT * max(1.0, float(wanted.abs().max()))


def conv(name: str, read: int, made: int, kernel: int, *, bias: bool = True, **settings: int) -> Map:
    """A convolution over two axes with random weights."""
    groups = settings.get("groups", 1)
    sizes = {key: (settings.get(key, usual),) * 2 for key, usual in (("stride", 1), ("padding", 0), ("dilation", 1))}
    weight = torch.randn(made, read // groups, kernel, kernel).double()
    return Map(name, weight, torch.randn(made).double() if bias else None, groups=groups, **sizes)


@settings(max_examples=40)
@given(pairs())
def test_two_maps_as_one_equal_both_whatever_their_shapes_or_are_refused(pair: tuple[Map, Map, Tensor]) -> None:
    first, second, x = pair
    try:
        merged = composed(first, second)
    except FoldError:
        assert any(second.padding)
        return
    assert_equal(convolved(merged, x), convolved(second, convolved(first, x)))


@settings(max_examples=40)
@given(pairs())
def test_without_padding_between_them_two_maps_are_never_refused(pair: tuple[Map, Map, Tensor]) -> None:
    first, second, x = pair
    second = replace(second, padding=(0,) * len(second.padding))
    assert_equal(convolved(composed(first, second), x), convolved(second, convolved(first, x)))


@settings(max_examples=40)
@given(pairs())
def test_padding_moved_to_the_first_changes_a_border_alone(pair: tuple[Map, Map, Tensor]) -> None:
    first, second, x = pair
    wanted = convolved(second, convolved(first, x))
    found = convolved(joined(first, second), x)
    assert found.shape == wanted.shape
    borders = [-(-p // s) for p, s in zip(second.padding, second.stride, strict=True)]
    inside = [slice(border, size - border) for border, size in zip(borders, wanted.shape[2:], strict=True)]
    assume(wanted[(..., *inside)].numel())
    assert_equal(found[(..., *inside)], wanted[(..., *inside)])


@given(st.integers(0, 2), st.booleans(), st.booleans(), st.data())
def test_a_batch_norm_merges_into_what_it_follows(axes: int, affine: bool, biased: bool, data: st.DataObject) -> None:
    first = data.draw(maps("conv", 2, 4, 2, axes))
    first = first if biased else replace(first, bias=None)
    kind = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[axes]
    norm = kind(4, eps=data.draw(st.sampled_from((1e-5, 1e-3))), affine=affine).double().eval()
    with torch.no_grad():
        for tensor in norm.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(4) + 0.1)
    norm.requires_grad_(False)
    factors = norm_scale(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    x = torch.randn(3, 2, *(9, 8)[:axes]).double()
    assert_equal(convolved(composed(first, scale("norm", *factors, axes)), x), norm(convolved(first, x)))


def test_a_batch_norm_whose_weight_is_zero_leaves_its_bias_alone() -> None:
    norm = nn.BatchNorm2d(3).double().eval()
    norm.requires_grad_(False)
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, 2.0)
    first = conv("conv", 2, 3, 3)
    factors = norm_scale(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    merged = composed(first, scale("norm", *factors, 2))
    assert torch.equal(convolved(merged, torch.randn(2, 2, 5, 5).double()), torch.full((2, 3, 3, 3), 2.0).double())


def test_a_scale_merges_into_the_groups_of_what_reads_it() -> None:
    before = scale("affine", torch.randn(4), torch.randn(4), 2)
    after = conv("conv", 4, 6, 3, groups=2)
    x = torch.randn(2, 4, 7, 7).double()
    merged = composed(before, after)
    assert merged.groups == 2
    assert_equal(convolved(merged, x), convolved(after, convolved(before, x)))


def test_depthwise_after_depthwise_stays_depthwise() -> None:
    merged = composed(conv("one", 6, 6, 3, groups=6, padding=1), conv("two", 6, 6, 5, groups=6))
    assert merged.groups == 6
    assert merged.weight.shape == (6, 1, 7, 7)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 4])
def test_padded_kernels_after_each_other_are_refused_and_really_differ(bias: bool, groups: int) -> None:
    first = conv("first", 4, 4, 3, padding=1, groups=groups, bias=bias)
    second = conv("second", 4, 4, 3, padding=1, groups=groups, bias=bias)
    x = torch.randn(1, 4, 9, 9).double()
    wanted = convolved(second, convolved(first, x))
    apart = (convolved(joined(first, second), x) - wanted).abs().amax((0, 1)) > 1e-6
    assert apart[0].any() and apart[-1].any() and not apart[1:-1, 1:-1].any()
    with pytest.raises(
        FoldError, match=r"second: pads by 1×1 what first makes with a kernel of 3×3; in a border of 1×1"
    ):
        composed(first, second)


def test_a_bias_before_padding_becomes_a_channel_of_ones_at_any_resolution() -> None:
    first, second = conv("wide", 3, 8, 1), conv("deep", 8, 8, 3, padding=1, groups=8, stride=2)
    merged = composed(first, second)
    assert merged.ones and merged.weight.shape == (8, 4, 3, 3)
    for size in (1, 4, 7):
        x = torch.randn(2, 3, size, size).double()
        assert_equal(convolved(merged, x), convolved(second, convolved(first, x)))


def test_a_bias_before_padding_is_refused_where_groups_stay_apart() -> None:
    with pytest.raises(FoldError, match=r"deep: pads by 1×1 what wide has given a bias, in 4 groups; only one group"):
        composed(conv("wide", 4, 4, 1, groups=4), conv("deep", 4, 4, 3, padding=1, groups=4))


def test_a_bias_of_zeros_is_none() -> None:
    first = replace(conv("wide", 3, 8, 1), bias=torch.zeros(8).double())
    assert not composed(first, conv("deep", 8, 4, 3, padding=1)).ones


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FoldError, match="second: first makes 4 channels over 0 axes, but it reads 5 over 0"):
        composed(linear("first", torch.ones(4, 2), None), linear("second", torch.ones(2, 5), None))


@settings(max_examples=40)
@given(pairs(), st.integers(0, 2))
def test_a_map_beside_another_is_their_sum(pair: tuple[Map, Map, Tensor], more: int) -> None:
    right, _, x = pair
    kernel = tuple(k + 2 * more for k in right.kernel)
    padding = tuple(p + d * more for p, d in zip(right.padding, right.dilation, strict=True))
    left = replace(right, name="left", weight=torch.randn(right.made, right.weight.shape[1], *kernel).double())
    left = replace(left, padding=padding, bias=torch.randn(right.made).double())
    assert_equal(convolved(summed(left, right), x), convolved(left, x) + convolved(right, x))


def test_a_skip_is_one_in_the_middle_of_the_kernel() -> None:
    branch = conv("conv", 4, 4, 5, padding=2)
    x = torch.randn(2, 4, 6, 6).double()
    merged = summed(branch, unchanged("skip", 4, 2))
    assert merged.weight.shape == branch.weight.shape
    assert_equal(convolved(merged, x), convolved(branch, x) + x)


def test_a_shortcut_of_kernel_one_goes_to_the_middle_of_a_strided_kernel() -> None:
    branch = conv("conv", 4, 6, 3, padding=1, stride=2, bias=False)
    shortcut = conv("shortcut", 4, 6, 1, stride=2)
    for size in (7, 8):
        x = torch.randn(2, 4, size, size).double()
        assert_equal(convolved(summed(branch, shortcut), x), convolved(branch, x) + convolved(shortcut, x))


def test_a_skip_passes_a_channel_of_ones_by() -> None:
    first, second = conv("wide", 4, 8, 1), conv("deep", 8, 4, 3, padding=1)
    merged = summed(unchanged("skip", 4, 2), composed(first, second))
    x = torch.randn(2, 4, 5, 5).double()
    assert_equal(convolved(merged, x), convolved(second, convolved(first, x)) + x)


@pytest.mark.parametrize(
    ("left", "right", "complaint"),
    [
        ({"kernel": 3, "padding": 1}, {"kernel": 1, "stride": 2}, "only maps of equal channels and stride add up"),
        ({"kernel": 3}, {"kernel": 1}, r"left \(kernel 3×3, padding 0×0\) and right .* put out different sizes"),
    ],
)
def test_maps_that_do_not_add_up_are_refused(left: dict[str, int], right: dict[str, int], complaint: str) -> None:
    with pytest.raises(FoldError, match=complaint):
        summed(conv("left", 4, 4, **left), conv("right", 4, 4, **right))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_fewer_groups_mix_nothing_that_groups_kept_apart(fewer: int, apart: int, axes: int) -> None:
    groups = fewer * apart
    grouped = Map("conv", torch.randn(2 * groups, 3, *(2,) * axes).double(), groups=groups, stride=(1,) * axes)
    grouped = replace(grouped, padding=(0,) * axes, dilation=(1,) * axes)
    x = torch.randn(1, 3 * groups, *(4,) * axes).double()
    pieces = [replace(grouped, weight=w, groups=1) for w in grouped.weight.chunk(groups)]
    wanted = torch.cat([convolved(p, part) for p, part in zip(pieces, x.chunk(groups, 1), strict=True)], 1)
    assert_equal(convolved(without_groups(grouped, fewer), x), wanted)
