"""Leading components of maps of any size, rank, scale and precision, against numpy; what is not finite."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur import methods
from secateur.errors import DataError
from secateur.finding import find_sites
from secateur.spectra import centred_norm, leading_norm, rank
from secateur.task import Task

Map = NDArray[np.float64]

ENERGY = 0.95
KINDS = ("noise", "rectified", "rank one", "rank two", "constant", "zero", "equal components", "on the cut")
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-6, torch.float16: 1e-6, torch.bfloat16: 1e-6}


def drawn(kind: str, height: int, width: int, seed: int) -> Map:
    """One map. "on the cut": the first component holds 0.95 of the variation, as well as float64 can say."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(height, width))
    components = min(height - 1, width)
    match kind:
        case "rectified":
            return noise.clip(min=0.0)
        case "rank one":
            return np.outer(noise[:, 0], noise[0])
        case "rank two":
            return np.outer(noise[:, 0], noise[0]) + np.outer(noise[:, -1], noise[-1])
        case "constant":
            return np.full((height, width), noise[0, 0])
        case "zero":
            return np.zeros((height, width))
        case "equal components":
            return with_shares(np.ones(components), height, width, generator)
        case "on the cut":
            return with_shares(np.r_[0.95, np.full(8, 0.05 / max(components - 1, 1))], height, width, generator)
    return noise


def with_shares(shares: Map, height: int, width: int, generator: np.random.Generator) -> Map:
    """A map whose components hold these shares of its variation, as many as it has."""
    components = min(height - 1, width, len(shares))
    rows = generator.normal(size=(height, components))
    rows = np.linalg.qr(rows - rows.mean(0))[0]
    columns = np.linalg.qr(generator.normal(size=(width, components)))[0]
    made: Map = rows @ np.diag(np.sqrt(shares[:components])) @ columns.T
    return made


def admissible(image: Map, energy: float = ENERGY) -> list[float]:
    """The norm of the projection; two numbers where float64 cannot say whether one component more is needed."""
    centred = image - image.mean(0)
    if np.ptp(image, axis=0).max() == 0.0:
        return [0.0]
    largest = np.abs(centred).max()
    held = np.linalg.svd(centred / largest, compute_uv=False) ** 2
    sums = held.cumsum()
    counts = {int((sums / sums[-1] <= energy + step).sum()) for step in (-1e-13, 1e-13)}
    return [float(largest * np.sqrt(sums[min(count, len(sums) - 1)])) for count in counts]


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    exponent=st.integers(-30, 30),
    dtype=st.sampled_from(tuple(TOLERANCES)),
    seed=st.integers(0, 99),
)
@example(kind="noise", size=(8, 8), exponent=-30, dtype=torch.float32, seed=0)
@example(kind="noise", size=(8, 8), exponent=30, dtype=torch.float32, seed=0)
@example(kind="noise", size=(1, 7), exponent=0, dtype=torch.float32, seed=0)
@example(kind="noise", size=(7, 1), exponent=20, dtype=torch.float32, seed=0)
@example(kind="on the cut", size=(6, 5), exponent=0, dtype=torch.float32, seed=0)
@example(kind="on the cut", size=(3, 2), exponent=15, dtype=torch.float64, seed=1)
@example(kind="equal components", size=(9, 9), exponent=-20, dtype=torch.float64, seed=2)
def test_norms_are_those_by_singular_values(
    kind: str, size: tuple[int, int], exponent: int, dtype: torch.dtype, seed: int
) -> None:
    scale = 10.0 ** (exponent if dtype in (torch.float32, torch.float64, torch.bfloat16) else exponent / 10)
    image = torch.from_numpy(drawn(kind, *size, seed) * scale).to(dtype)
    exact = image.double().numpy()
    found = float(leading_norm(image[None, None], ENERGY))
    assert found == pytest.approx(
        min(admissible(exact), key=lambda norm: abs(norm - found)), rel=TOLERANCES[dtype], abs=0.0
    )
    whole = admissible(exact, 2.0)[0]  # all components
    assert float(centred_norm(image[None, None])) == pytest.approx(whole, rel=TOLERANCES[dtype], abs=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(3, 2), (4, 4), (8, 8), (2, 5)])
def test_a_map_that_is_not_finite_gives_nothing_finite_and_does_not_touch_those_beside_it(
    dtype: torch.dtype, size: tuple[int, int]
) -> None:
    maps = torch.from_numpy(np.stack([drawn("noise", *size, seed) for seed in range(6)])).to(dtype)[:, None]
    broken = maps.clone()
    broken[1, 0, 0, 0], broken[4, 0, 1, 1] = torch.nan, torch.inf
    for of in (lambda values: leading_norm(values, ENERGY), rank):
        found, wanted = of(broken)[:, 0], of(maps)[:, 0]
        assert not bool(found[[1, 4]].isfinite().any())
        torch.testing.assert_close(found[[0, 2, 3, 5]], wanted[[0, 2, 3, 5]], rtol=1e-6, atol=0.0)


class Bursting(nn.Module):
    """Maps overflow, and what is behind them does not show it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(self.one(x).tanh().mean((2, 3)))
        return made


@pytest.mark.parametrize(
    ("method", "options"), [("ocnna", {"tap": "pre"}), ("ocnna", {"tap": "pre", "form": "surrogate"})]
)
def test_maps_that_overflow_are_refused_by_name(method: str, options: dict[str, object]) -> None:
    model = Bursting().eval()
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    task = Task.classification(calibration=[(images, torch.zeros(4, dtype=torch.long))])
    sites = find_sites(model, task)
    with torch.no_grad():
        model.one.weight.fill_(3e38)
    with pytest.raises(DataError, match=r"one.*conv2d puts out maps that are NaN or infinite"):
        methods.score(model, sites, task, methods.get(method, **options))
