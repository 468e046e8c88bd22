"""Statistics: against numpy and scikit-learn; merging is one batch; edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LinearRegression, Ridge

from secateur.stats import Gram, Moments

NUMBERS = st.floats(-1e3, 1e3, width=32)
TABLES = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=NUMBERS)


def table(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def observed(values: np.ndarray, cuts: list[int]) -> Moments:
    """The moments of a table seen in batches."""
    moments = Moments.empty()
    for part in np.split(values, sorted(cut % (len(values) + 1) for cut in cuts)):
        moments = moments.observe(torch.from_numpy(part.copy()))
    return moments


# --- moments ----------------------------------------------------------------------------------------------------------


@given(TABLES, st.lists(st.integers(0, 30), max_size=5))
def test_moments_are_those_of_numpy_however_the_rows_come(values: np.ndarray, cuts: list[int]) -> None:
    moments = observed(values, cuts)
    scale = float(np.abs(values).max()) or 1.0
    assert moments.count == len(values)
    np.testing.assert_allclose(moments.mean.numpy(), values.mean(0), rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(moments.variance.numpy(), values.var(0), rtol=1e-10, atol=1e-13 * scale**2)


@pytest.mark.parametrize("batch", [1, 2, 7, 64, 1000])
def test_batching_does_not_matter(batch: int) -> None:
    values = table(1000, 3)
    moments = observed(values, list(range(0, 1000, batch)))
    whole = Moments.empty().observe(torch.from_numpy(values))
    torch.testing.assert_close(moments.variance, whole.variance, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(moments.mean, whole.mean, rtol=1e-12, atol=1e-15)


@given(TABLES, TABLES)
def test_merging_is_seeing_both(left: np.ndarray, right: np.ndarray) -> None:
    columns = min(left.shape[1], right.shape[1])
    left, right = left[:, :columns], right[:, :columns]
    merged = observed(left, []).merge(observed(right, []))
    both = np.concatenate([left, right])
    np.testing.assert_allclose(
        merged.variance.numpy(), both.var(0), rtol=1e-10, atol=1e-13 * (np.abs(both).max() ** 2 or 1)
    )
    assert merged.count == len(both)


@pytest.mark.parametrize("value", [0.1, 1e8 + 0.1, -3.3e-7, 1 / 3])
@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_constant_column_has_no_variance_at_all(value: float, batch: int) -> None:
    moments = observed(np.full((30, 1), value), list(range(0, 30, batch)))
    assert moments.variance.item() == 0.0
    assert moments.mean.item() == value


@pytest.mark.parametrize("batch", [5, 200])
def test_a_huge_offset_leaves_the_variance(batch: int) -> None:
    values = table(200, 2) + 1e8
    moments = observed(values, list(range(0, 200, batch)))
    np.testing.assert_allclose(moments.variance.numpy(), np.var(values - 1e8, axis=0), rtol=1e-7)


@pytest.mark.parametrize("cuts", [[], [1], [1, 500], [999]])
def test_an_outlier_in_the_first_row_costs_hardly_any_accuracy(cuts: list[int]) -> None:
    values = table(1000, 2)
    values[0] = 1e6  # far from the mean, and what everything is shifted by at first
    exact = np.var(values.astype(np.longdouble), axis=0)
    np.testing.assert_allclose(observed(values, cuts).variance.numpy(), exact.astype(np.float64), rtol=1e-11)


def test_rows_that_are_seen_are_left_as_they_are() -> None:
    rows = torch.from_numpy(table(5, 3))
    before = rows.clone()
    Moments.empty().observe(rows)
    assert torch.equal(rows, before)


KINDS = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 1e-6, torch.int64: 1e-12}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("batch", [7, 50, 400])
def test_any_kind_of_number_is_added_up_in_float64(dtype: torch.dtype, batch: int) -> None:
    rows = torch.from_numpy(10 * table(400, 2) + 30).to(dtype)
    moments = Moments.empty()
    for part in rows.split(batch):
        moments = moments.observe(part)
    assert moments.mean.dtype == moments.squares.dtype == torch.float64
    np.testing.assert_allclose(moments.variance.numpy(), rows.double().numpy().var(0), rtol=KINDS[dtype])
    np.testing.assert_allclose(moments.mean.numpy(), rows.double().numpy().mean(0), rtol=KINDS[dtype])


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e18, 1e30])
def test_numbers_near_the_ends_of_float32_lose_nothing(scale: float) -> None:
    rows = torch.from_numpy(scale * table(200, 3)).float()
    moments = Moments.empty().observe(rows[:120]).observe(rows[120:])
    np.testing.assert_allclose(moments.variance.numpy(), rows.double().numpy().var(0), rtol=1e-6)


@pytest.mark.parametrize("sort", [1, -1])
def test_rows_that_drift_lose_little_in_float32(sort: int) -> None:
    values = np.sort(table(20_000, 1), axis=0)[::sort] + 1000.0
    rows = torch.from_numpy(values.copy()).float()
    moments = Moments.empty()
    for part in rows.split(64):
        moments = moments.observe(part)
    np.testing.assert_allclose(moments.variance.numpy(), rows.double().numpy().var(0), rtol=3e-6)


def test_nothing_seen_changes_nothing() -> None:
    seen = Moments.empty().observe(torch.from_numpy(table(5, 3)))
    assert seen.observe(torch.zeros(0, 3)) is seen
    assert seen.merge(Moments.empty()) is seen
    assert Moments.empty().merge(seen) is seen


# --- least squares ----------------------------------------------------------------------------------------------------


def problem(rows: int, inputs: int, targets: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    x = table(rows, inputs, seed)
    y = x @ table(inputs, targets, seed + 1) + 0.3 * table(rows, targets, seed + 2) + 5.0
    return x, y


def gram(x: np.ndarray, y: np.ndarray) -> Gram:
    return Gram.of(torch.from_numpy(x), torch.from_numpy(y))


def zeros(x: np.ndarray, y: np.ndarray) -> torch.Tensor:
    return torch.zeros(x.shape[1] + 1, y.shape[1], dtype=torch.float64)


@pytest.mark.parametrize(("rows", "inputs", "targets"), [(40, 3, 2), (40, 1, 1), (200, 12, 3)])
def test_without_a_ridge_the_solution_is_that_of_ordinary_least_squares(rows: int, inputs: int, targets: int) -> None:
    x, y = problem(rows, inputs, targets)
    solution = gram(x, y).solve(0.0, zeros(x, y)).numpy()
    wanted = LinearRegression().fit(x, y)
    np.testing.assert_allclose(solution[:-1].T, wanted.coef_, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(solution[-1], wanted.intercept_, rtol=1e-9)


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 1.0])
def test_a_ridge_is_that_of_scikit_learn_relative_to_the_inputs_power(ridge: float) -> None:
    x, y = problem(80, 4, 2)
    wanted = Ridge(alpha=ridge * float(np.square(x).sum(0).mean())).fit(x, y)
    solution = gram(x, y).solve(ridge, zeros(x, y)).numpy()
    np.testing.assert_allclose(solution[:-1].T, wanted.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(solution[-1], wanted.intercept_, rtol=1e-5)


def test_a_strong_ridge_stays_with_the_prior_solution() -> None:
    x, y = problem(80, 4, 2)
    prior = torch.from_numpy(table(5, 2, 9))
    solution = gram(x, y).solve(1e9, prior)
    torch.testing.assert_close(solution[:-1], prior[:-1], rtol=0, atol=1e-6)


def test_where_the_prior_solution_is_best_it_is_kept() -> None:
    x, _ = problem(80, 4, 2)
    prior = table(5, 2, 9)
    y = x @ prior[:-1] + prior[-1]
    np.testing.assert_allclose(gram(x, y).solve(0.3, torch.from_numpy(prior)).numpy(), prior, rtol=1e-10)


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(0, 4), st.integers(1, 3), st.integers(0, 99))
def test_the_error_is_the_mean_square_of_what_is_missed(rows: int, inputs: int, targets: int, seed: int) -> None:
    x, y = table(rows, inputs, seed), table(rows, targets, seed + 1)
    solution = table(inputs + 1, targets, seed + 2)
    missed = np.concatenate([x, np.ones((rows, 1))], 1) @ solution - y
    assert gram(x, y).error(torch.from_numpy(solution)) == pytest.approx(float(np.square(missed).mean()), rel=1e-9)


def test_sums_of_parts_are_the_sums_of_all() -> None:
    x, y = problem(50, 3, 2)
    merged, whole = gram(x[:17], y[:17]).merge(gram(x[17:], y[17:])), gram(x, y)
    assert merged.count == whole.count == 50
    torch.testing.assert_close(merged.inputs, whole.inputs)
    torch.testing.assert_close(merged.cross, whole.cross)
    torch.testing.assert_close(merged.squares, whole.squares)


def test_inputs_that_say_the_same_twice_are_solved() -> None:
    x, y = problem(50, 2, 1)
    doubled = np.concatenate([x, x, np.ones((50, 1)), np.zeros((50, 1))], 1)  # nothing left to tell them apart
    found = gram(doubled, y)
    best = gram(x, y).error(gram(x, y).solve(0.0, zeros(x, y)))
    for ridge in (1e-8, 1e-6):
        solution = found.solve(ridge, zeros(doubled, y))
        assert bool(torch.isfinite(solution).all())
        assert found.error(solution) == pytest.approx(best, rel=1e-4)


def test_inputs_that_are_all_zero_leave_the_mean() -> None:
    x, y = np.zeros((30, 3)), table(30, 2) + 4.0
    solution = gram(x, y).solve(1e-4, zeros(x, y)).numpy()
    np.testing.assert_allclose(solution[:-1], 0.0, atol=1e-12)
    np.testing.assert_allclose(solution[-1], y.mean(0), rtol=1e-9)


def test_without_inputs_the_constant_is_the_mean() -> None:
    x, y = np.zeros((30, 0)), table(30, 2) + 4.0
    np.testing.assert_allclose(gram(x, y).solve(1e-4, zeros(x, y)).numpy(), y.mean(0)[None], rtol=1e-6)


def test_no_rows_are_no_error() -> None:
    x, y = np.zeros((0, 3)), np.zeros((0, 2))
    assert gram(x, y).error(zeros(x, y)) == 0.0
