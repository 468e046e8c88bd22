"""Leading components of maps: against scikit-learn's PCA, map by map; bounds, invariances, edges."""

import numpy as np
import pytest
import torch
from torch import Tensor

from oracles.ocnna import significance
from secateur.spectra import centred_norm, leading_norm, rank

ENERGY = 0.95
SIZES = [(1, 2), (2, 2), (2, 5), (3, 3), (4, 4), (5, 3), (7, 8), (8, 8), (16, 16), (9, 31), (32, 32)]


def maps(height: int, width: int, seed: int = 3, *, count: int = 24) -> Tensor:
    """Maps of several kinds: noise, smooth and rectified ones, some nearly of rank one, each at a scale of its own."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 4, height, width, generator=generator, dtype=torch.float64)
    column = torch.randn(count, height, 1, generator=generator, dtype=torch.float64)
    noise[:, 1] = noise[:, 1].cumsum(-1).cumsum(-2)
    noise[:, 2] = noise[:, 2].cumsum(-1).relu()
    noise[:, 3] = column * torch.rand(count, 1, width, generator=generator, dtype=torch.float64) + 0.2 * noise[:, 3]
    return noise * torch.logspace(-4, 4, count, dtype=torch.float64)[:, None, None, None]


def by_pca(values: Tensor, energy: float = ENERGY) -> Tensor:
    flat = values.double().flatten(0, 1).numpy()
    return torch.tensor([significance(image, energy) for image in flat], dtype=torch.float64).reshape(values.shape[:2])


@pytest.mark.parametrize(("height", "width"), [size for size in SIZES if size[0] > 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_it_is_the_norm_of_the_projection_by_scikit_learn(
    height: int, width: int, dtype: torch.dtype, tolerance: float
) -> None:
    values = maps(height, width).to(dtype)
    torch.testing.assert_close(leading_norm(values, ENERGY).double(), by_pca(values), rtol=tolerance, atol=0.0)


@pytest.mark.parametrize("energy", [0.1, 0.5, 0.9, 0.999])
def test_any_share_of_the_variation_can_be_kept(energy: float) -> None:
    values = maps(8, 6)
    torch.testing.assert_close(leading_norm(values, energy), by_pca(values, energy), rtol=1e-10, atol=0.0)


def test_the_centred_norm_is_larger_by_no_more_than_the_share_left_out() -> None:
    for size in SIZES:
        values = maps(*size)
        whole, leading = centred_norm(values), leading_norm(values, ENERGY)
        assert bool((leading <= whole * (1 + 1e-12)).all())
        assert bool((leading >= 0.97467 * whole).all())


def test_the_centred_norm_is_the_root_of_the_summed_column_variances() -> None:
    values = maps(7, 5)
    wanted = np.sqrt(7 * values.numpy().var(axis=2).sum(axis=-1))
    np.testing.assert_allclose(centred_norm(values).numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("of", [centred_norm, lambda values: leading_norm(values, ENERGY)])
@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_nothing_is_left_of_a_constant_map_whatever_its_size(of, value: float) -> None:
    for height, width in ((28, 28), (3, 2), (1, 1)):
        assert bool((of(torch.full((3, 2, height, width), value)) == 0.0).all())


def test_an_offset_a_thousand_times_larger_does_not_matter() -> None:
    values = maps(8, 8)[12:13].float() + 1000.0
    torch.testing.assert_close(leading_norm(values, ENERGY).double(), by_pca(values), rtol=1e-5, atol=0.0)


def test_a_share_that_float32_cannot_tell_from_the_cut_is_computed_again() -> None:
    """Two components, the first of which holds 0.95 to eight digits: one is enough, or both are needed."""
    generator = np.random.default_rng(1)
    cases = []
    for share in 0.95 + np.linspace(-3e-8, 3e-8, 200):
        rows = generator.normal(size=(6, 2))
        rows = np.linalg.qr(rows - rows.mean(0))[0]
        columns = np.linalg.qr(generator.normal(size=(5, 2)))[0]
        cases.append(torch.from_numpy(rows @ np.diag(np.sqrt([share, 1.0 - share])) @ columns.T))
    single = torch.stack(cases)[:, None].float()
    wanted = by_pca(single)
    assert 20 < int((wanted > 0.99).sum()) < 180
    torch.testing.assert_close(leading_norm(single, ENERGY).double(), wanted, rtol=1e-6, atol=0.0)


def test_maps_are_independent_of_those_beside_them() -> None:
    values = maps(32, 32, count=40)
    values[3:7] = 0.0
    alone = torch.cat([leading_norm(part, ENERGY) for part in values.split(1)])
    torch.testing.assert_close(leading_norm(values, ENERGY), alone, rtol=1e-13, atol=0.0)


def test_threads_share_the_work_and_do_not_change_it() -> None:
    values = maps(8, 8)
    one = leading_norm(values, ENERGY)
    torch.set_num_threads(2)
    try:
        two = leading_norm(values, ENERGY)
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(two, one, rtol=1e-13, atol=0.0)


def test_half_precision_is_worked_on_in_float32() -> None:
    values = maps(8, 8)[12:13].half()
    assert leading_norm(values, ENERGY).dtype == torch.float32
    torch.testing.assert_close(leading_norm(values, ENERGY).double(), by_pca(values), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rank_is_that_of_numpy_in_float32(height: int, width: int) -> None:
    values = maps(height, width).float()
    values[:, 0] = values[:, 0, :1] if height > 1 else values[:, 0]  # rows alike: rank one
    values[0] = 0.0
    wanted = np.linalg.matrix_rank(values.numpy())
    np.testing.assert_array_equal(rank(values).numpy(), wanted)
