"""Signs of pre-activations and the lines of activations: against NumPy, scikit-learn and scipy's own words."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LinearRegression
from torch import Tensor

from secateur.signs import Signs, SignsByBatch, Spread
from secateur.stats import Line

WHOLE = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(-1, 1))


def rows(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)


def counted(values: Tensor, batch: int = 1000) -> Signs:
    signs = Signs.empty()
    for part in values.split(batch):
        signs = signs.observe(part)
    return signs


def lined(pre: Tensor, post: Tensor, batch: int = 1000) -> Line:
    line = Line.empty()
    for both in zip(pre.split(batch), post.split(batch), strict=True):
        line = line.observe(*both)
    return line


# --- signs ------------------------------------------------------------------------------------------------------------


@given(WHOLE, st.integers(1, 30))
def test_signs_are_counted_however_the_rows_come(values: np.ndarray, batch: int) -> None:
    signs = counted(torch.from_numpy(values), batch)
    assert signs.count == len(values)
    np.testing.assert_array_equal(signs.on.numpy(), (values > 0).sum(0))
    np.testing.assert_array_equal(signs.off.numpy(), (values < 0).sum(0))
    np.testing.assert_array_equal(signs.zero.numpy(), (values == 0).sum(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_signs_of_maps_are_those_of_all_their_places(dtype: torch.dtype) -> None:
    maps = rows(5, 3, 40, 30).to(dtype)
    signs = counted(maps.movedim(1, -1))
    assert signs.count == 5 * 40 * 30
    assert signs.on.tolist() == (maps > 0).sum((0, 2, 3)).tolist()  # far more than bfloat16 can count


def test_more_places_than_float32_can_count() -> None:
    places = torch.ones(1, dtype=torch.int8).expand(2**24 + 3, 1)
    assert counted(places, 2**25).on.tolist() == [2**24 + 3]
    assert counted(places[None], 2**25).on.tolist() == [2**24 + 3]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_is_known(bad: float) -> None:
    values = rows(6, 2)
    values[3, 1] = bad
    assert not counted(values).is_finite
    assert counted(values[:3]).is_finite
    for order in (values, values.flip(0)):
        by_batch = SignsByBatch.empty()
        for part in order.split(2):
            by_batch = by_batch.observe(part)
        assert not by_batch.is_finite


def test_the_mean_is_that_of_all_rows() -> None:
    values = rows(7, 4, 3) + 10
    torch.testing.assert_close(counted(values, 2).mean, values.mean((0, 1)), rtol=1e-13, atol=0.0)


@pytest.mark.parametrize(
    ("column", "three", "two"),
    [
        ([1, 2, 3], 0.0, 0.0),
        ([-1, -2, -3], 0.0, 0.0),
        ([0, 0, 0], 0.0, 0.0),
        ([1, -1, 0, 0], 1.0, 0.8112781244591328),  # H(3/4)
        ([1, 0, 0, 0], 0.0, 0.0),
        ([-1, 0, 0, 0], 0.0, 0.8112781244591328),
        ([2, -3], 1.0, 1.0),
    ],
)
def test_entropy_with_three_states_leaves_zeros_out_and_with_two_counts_them_on(
    column: list[float], three: float, two: float
) -> None:
    signs = counted(torch.tensor(column).double()[:, None])
    assert signs.entropy(3).item() == pytest.approx(three, abs=1e-15)
    assert signs.entropy(2).item() == pytest.approx(two, abs=1e-15)


def test_entropy_by_batch_is_the_mean_of_the_batches_entropies() -> None:
    values = rows(30, 4)
    values[7:9] = 0.0
    by_batch = SignsByBatch.empty()
    for part in values.split(12):
        by_batch = by_batch.observe(part)
    for states in (2, 3):
        wanted = torch.stack([counted(part).entropy(states) for part in values.split(12)]).mean(0)
        torch.testing.assert_close(by_batch.entropy(states), wanted, rtol=1e-14, atol=0.0)


# --- spread -----------------------------------------------------------------------------------------------------------


def spread(values: Tensor, batch: int) -> Spread:
    found = Spread.empty()
    for part in values.split(batch):
        found = found.observe(part)
    return found


@pytest.mark.parametrize("batch", [1, 7, 200])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_a_spread_is_mean_and_variance_of_numpy(batch: int, offset: float) -> None:
    values = rows(200, 4, 3) * torch.tensor([1.0, 5.0, 0.1]) + offset
    found, known = spread(values, batch), values.numpy()
    np.testing.assert_allclose(found.mean.numpy(), known.mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(found.variance.numpy(), known.var((0, 1)), rtol=1e-9)


def test_a_spread_of_float32_is_added_up_in_float64() -> None:
    values = rows(2000, 3) + 300
    np.testing.assert_allclose(spread(values.float(), 37).variance.numpy(), values.numpy().var(0), rtol=1e-4)


def test_what_is_constant_has_no_spread() -> None:
    found = spread(torch.full((9, 2), 0.1, dtype=torch.float64), 2)
    assert found.variance.tolist() == [0.0, 0.0]
    assert found.mean.tolist() == [0.1, 0.1]
    assert not spread(torch.full((9, 2), torch.inf), 2).is_finite


def test_nothing_seen_changes_nothing() -> None:
    some = rows(5, 2)
    assert spread(some, 5).observe(some[:0]).count == counted(some).observe(some[:0]).count == 5


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 200])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_line_is_that_of_scikit_learn(batch: int, offset: float) -> None:
    pre = rows(200, 3) * torch.tensor([1.0, 5.0, 0.1]) + offset
    post = torch.nn.functional.gelu(pre - offset)
    line = lined(pre, post, batch)
    for unit in range(3):
        x, y = pre[:, [unit]].numpy(), post[:, unit].numpy()
        known = LinearRegression().fit(x, y)
        assert line.slope[unit].item() == pytest.approx(known.coef_[0], rel=1e-9)
        assert line.intercept[unit].item() == pytest.approx(known.intercept_, rel=1e-8)
        assert line.unexplained[unit].item() == pytest.approx(np.mean((known.predict(x) - y) ** 2), rel=1e-7)
        assert line.mean_in[unit].item() == pytest.approx(x.mean(), rel=1e-12)
        assert line.var_in[unit].item() == pytest.approx(x.var(), rel=1e-9)


def test_a_line_through_maps_is_that_through_all_their_places() -> None:
    maps = rows(4, 3, 6, 5)
    flat = maps.movedim(1, -1).reshape(-1, 3)
    found, wanted = lined(maps.movedim(1, -1), maps.relu().movedim(1, -1), 1), lined(flat, flat.relu())
    assert found.count == wanted.count == 120
    for name in ("mean_in", "mean_out", "var_in", "cov", "var_out"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-12, atol=1e-15)


def test_under_a_normal_distribution_a_rectifier_has_the_slope_and_the_intercept_of_theory() -> None:
    grid = torch.linspace(1e-6, 1 - 1e-6, 200_001, dtype=torch.float64)
    beta, gamma = torch.tensor([0.0, -0.3, 0.7]), torch.tensor([1.0, 1.0, 2.0])
    pre = beta.double() + gamma.double() * torch.special.ndtri(grid)[:, None]
    line = lined(pre, pre.relu(), 10**6)
    ratio = (beta / gamma).double()
    density = torch.exp(-ratio.square() / 2) / (2 * torch.pi) ** 0.5
    torch.testing.assert_close(line.slope, torch.special.ndtr(ratio), rtol=1e-3, atol=0.0)
    torch.testing.assert_close(line.intercept, gamma.double() * density, rtol=1e-3, atol=0.0)
    assert line.unexplained[0].item() == pytest.approx(0.0908, abs=1e-3)  # 1/4 - 1/(2 pi)


def test_float32_in_batches_agrees_with_float64_at_once() -> None:
    pre = rows(1000, 4) * 3 + 20
    found, wanted = lined(pre.float(), (pre - 20).relu().float(), 37), lined(pre, (pre - 20).relu())
    torch.testing.assert_close(found.slope, wanted.slope, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(found.unexplained, wanted.unexplained, rtol=1e-4, atol=0.0)
    assert found.slope.dtype == torch.float64


def test_what_never_varies_has_the_constant_for_its_line() -> None:
    pre = torch.full((9, 1), 0.1, dtype=torch.float64)
    line = lined(pre, pre.relu(), 4)
    assert line.slope.item() == line.var_in.item() == line.unexplained.item() == 0.0
    assert line.intercept.item() == pytest.approx(0.1, rel=1e-15)


def test_what_is_seen_is_left_as_it_is() -> None:
    pre, post = rows(5, 3), rows(5, 3).relu()
    counted(pre)
    lined(pre, post, 2)
    assert torch.equal(pre, rows(5, 3)) and torch.equal(post, rows(5, 3).relu())


def test_values_that_are_not_finite_are_known() -> None:
    pre = rows(5, 3)
    pre[2, 1] = torch.inf
    assert not lined(pre, pre).is_finite
