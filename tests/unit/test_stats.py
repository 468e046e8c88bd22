"""Streaming statistics against numpy and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import Ridge

from secateur.stats import Gram, Moments, Together

numbers = st.floats(-1e6, 1e6, allow_nan=False, width=64)


@given(arrays(np.float64, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=numbers), st.data())
def test_moments_of_batches_are_those_of_all_rows(rows: np.ndarray, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    moments = Moments.empty()
    for part in (rows[:cut], rows[cut:]):
        moments = moments.observe(torch.tensor(part))
    scale = max(1.0, float(np.abs(rows).max()))
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean.numpy(), rows.mean(0), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(moments.variance.numpy(), rows.var(0), rtol=1e-10, atol=1e-12 * scale**2)


def test_merging_is_symmetric_and_nothing_is_neutral() -> None:
    one, other = (Moments.empty().observe(torch.randn(size, 3)) for size in (5, 11))
    there, back = one.merge(other), other.merge(one)
    torch.testing.assert_close(there.variance, back.variance, rtol=1e-14, atol=0)
    assert one.merge(Moments.empty()) is one
    assert Moments.empty().merge(one) is one
    assert one.observe(torch.zeros(0, 3)) is one


def test_a_huge_offset_does_not_drown_the_variance() -> None:
    rows = torch.randn(1000, 2, dtype=torch.float64)
    moments = Moments.empty()
    for part in (rows + 1e8).split(17):
        moments = moments.observe(part)
    np.testing.assert_allclose(moments.variance.numpy(), rows.numpy().var(0), rtol=1e-6)


def test_a_constant_has_exactly_no_variance() -> None:
    moments = Moments.empty()
    for _ in range(5):
        moments = moments.observe(torch.full((13, 2), 0.1))
    assert moments.variance.tolist() == [0.0, 0.0]


def test_observing_leaves_the_rows_alone() -> None:
    rows = torch.randn(8, 2, dtype=torch.float64)
    before = rows.clone()
    Moments.empty().observe(rows)
    assert torch.equal(rows, before)


def test_statistics_together_see_what_each_sees_alone() -> None:
    rows = torch.randn(9, 4)
    both = Together((Moments.empty(), Moments.empty())).observe(rows)
    for part in both.parts:
        assert isinstance(part, Moments)
        assert torch.equal(part.mean, Moments.empty().observe(rows).mean)


def problem(rows: int = 200, inputs: int = 6, targets: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    x = generator.normal(size=(rows, inputs)) + 3.0
    y = x @ generator.normal(size=(inputs, targets)) + generator.normal(size=(rows, targets)) - 5.0
    return x, y


def gram_of(x: np.ndarray, y: np.ndarray, parts: int = 4) -> Gram:
    pairs = zip(np.array_split(x, parts), np.array_split(y, parts), strict=True)
    grams = [Gram.of(torch.tensor(a), torch.tensor(b)) for a, b in pairs]
    total = grams[0]
    for gram in grams[1:]:
        total = total.merge(gram)
    return total


def test_the_solution_is_numpys_least_squares() -> None:
    x, y = problem()
    wanted = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    found = gram_of(x, y).solve(1e-12, torch.zeros(7, 3, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6, atol=1e-7)


def test_the_ridge_is_scikit_learns() -> None:
    x, y = problem()
    gram = gram_of(x, y)
    ridge = 0.3
    power = float((x**2).sum(0).mean())
    found = gram.solve(ridge, torch.zeros(7, 3, dtype=torch.float64)).numpy()
    wanted = Ridge(alpha=ridge * power).fit(x, y)
    np.testing.assert_allclose(found[:-1], wanted.coef_.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[-1], wanted.intercept_, rtol=1e-3, atol=1e-2)


def test_a_strong_ridge_stays_at_the_prior() -> None:
    x, y = problem()
    prior = torch.randn(7, 3, dtype=torch.float64)
    found = gram_of(x, y).solve(1e9, prior)
    torch.testing.assert_close(found[:-1], prior[:-1], rtol=1e-4, atol=1e-4)


def test_the_error_is_the_mean_square_of_the_residuals() -> None:
    x, y = problem()
    solution = torch.randn(7, 3, dtype=torch.float64)
    residuals = np.column_stack([x, np.ones(len(x))]) @ solution.numpy() - y
    assert gram_of(x, y).error(solution) == pytest.approx(float((residuals**2).mean()), rel=1e-10)


def test_dependent_columns_still_have_a_finite_solution() -> None:
    x, y = problem()
    x[:, 1] = 2.0 * x[:, 0]
    x[:, 2] = 0.0
    gram = gram_of(x, y)
    found = gram.solve(1e-4, torch.zeros(7, 3, dtype=torch.float64))
    assert bool(torch.isfinite(found).all())
    best = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    assert gram.error(found) == pytest.approx(gram.error(torch.tensor(best)), rel=1e-3)
