"""Persistent homology against other libraries and theorems."""

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from secateur import homology
from secateur.errors import DataError, SettingsError, UnknownNameError
from secateur.homology import Cloud, Positions, deaths, summary

COORDINATES = st.integers(-6, 6).map(float) | st.floats(-1e3, 1e3, width=32)  # whole numbers give ties and duplicates

DIMS = st.integers(1, 4)


@st.composite
def clouds(draw: st.DrawFn, dims: st.SearchStrategy[int] = DIMS) -> np.ndarray:
    """[points, units, dims]."""
    shape = draw(st.integers(2, 12)), draw(st.integers(1, 3)), draw(dims)
    return draw(arrays(np.float64, shape, elements=COORDINATES))


def size(cloud: np.ndarray) -> float:
    return max(float(np.abs(cloud - cloud.mean(0)).max()), 1e-30)


@given(clouds())
def test_deaths_are_those_of_gudhi(cloud: np.ndarray) -> None:
    found = deaths(torch.from_numpy(cloud))
    for unit in range(cloud.shape[1]):
        points = np.ascontiguousarray(cloud[:, unit])
        tree = gudhi.RipsComplex(points=points).create_simplex_tree(max_dimension=1)
        tree.compute_persistence(min_persistence=-1)
        ends = np.sort([end for _, end in tree.persistence_intervals_in_dimension(0) if np.isfinite(end)])
        wanted = np.concatenate([np.zeros(len(points) - 1 - len(ends)), ends])  # coinciding points may be left out
        np.testing.assert_allclose(found[unit].numpy(), wanted, rtol=1e-6, atol=1e-6 * size(cloud))


@given(clouds())
def test_deaths_are_the_heights_of_single_linkage(cloud: np.ndarray) -> None:
    found = deaths(torch.from_numpy(cloud))
    for unit in range(cloud.shape[1]):
        wanted = linkage(cloud[:, unit], "single")[:, 2]
        np.testing.assert_allclose(found[unit].numpy(), wanted, rtol=1e-6, atol=1e-6 * size(cloud))


@given(clouds(st.just(1)), st.floats(-3.0, 3.0))
def test_the_line_is_a_plane_without_its_second_axis(cloud: np.ndarray, height: float) -> None:
    flat = torch.from_numpy(cloud)
    raised = torch.cat([flat, torch.full_like(flat, height)], 2)
    torch.testing.assert_close(deaths(raised), deaths(flat), rtol=1e-6, atol=1e-6 * size(cloud))


@given(clouds(), st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(cloud: np.ndarray, random: object) -> None:
    order = list(range(len(cloud)))
    random.shuffle(order)  # type: ignore[attr-defined]
    points = torch.from_numpy(cloud)
    torch.testing.assert_close(deaths(points[order]), deaths(points), rtol=1e-6, atol=1e-6 * size(cloud))


def test_many_clouds_are_done_in_parts_of_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(20, 7, 3, dtype=torch.float64)
    whole = deaths(points)
    monkeypatch.setattr(homology, "_MEMORY", 2 * 8 * 20 * 20)
    torch.testing.assert_close(deaths(points), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("entries", [1, 40, 10_000])
def test_many_lines_are_done_in_parts(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    points = torch.randn(20, 7, 1, dtype=torch.float64)
    monkeypatch.setattr(homology, "_ENTRIES", entries)
    assert torch.equal(deaths(points), points[..., 0].T.sort().values.diff().sort().values)


def test_points_that_coincide_merge_at_zero_however_far_they_are_from_others() -> None:
    points = torch.randn(40, 3, 6, dtype=torch.float64).repeat(2, 1, 1)
    points[0] = 1e4
    found = deaths(points)
    assert (found[:, :39] <= 1e-7 * 1e4 * 6**0.5).all()
    assert (found[:, 40:] > 0.1).all()


@pytest.mark.parametrize(
    "kind", ["apart", "some coincide", "two far groups", "far from zero", "huge", "tiny", "one far point"]
)
def test_in_many_dimensions_float32_is_as_precise_as_single_linkage_in_float64(kind: str) -> None:
    points = torch.randn(60, 3, 12)
    match kind:
        case "some coincide":
            points[30:40, 1] = points[:10, 1]
        case "two far groups":
            points[30:, 1] += 100.0
        case "far from zero":
            points += 1e3
        case "huge":
            points *= 1e25
        case "tiny":
            points *= 1e-30
        case "one far point":
            points[7, 2] = 1e5
    found = deaths(points)
    assert found.dtype == torch.float32
    for unit in range(3):
        cloud = points[:, unit].double().numpy()
        wanted = linkage(cloud, "single")[:, 2]
        np.testing.assert_allclose(found[unit].numpy(), wanted, rtol=1e-5, atol=1e-6 * size(cloud))


@pytest.mark.parametrize("how", homology.SUMMARIES)
@pytest.mark.parametrize("cloud", [torch.randn(1, 3, 1), torch.ones(5, 3, 1), torch.ones(1, 3, 2)])
def test_one_point_has_no_persistence(how: str, cloud: Tensor) -> None:
    assert torch.equal(summary(cloud, how, 0.9), torch.zeros(3, dtype=torch.float64))  # type: ignore[arg-type]


@given(clouds(st.just(1)))
def test_summaries_bound_each_other(cloud: np.ndarray) -> None:
    points = torch.from_numpy(cloud)
    most, total = summary(points, "max", 0.5), summary(points, "total", 0.5)
    torch.testing.assert_close(total, points.amax(0)[:, 0] - points.amin(0)[:, 0], rtol=1e-9, atol=1e-9)
    assert (most <= total + 1e-9).all()
    torch.testing.assert_close(summary(points, "quantile", 1.0), most)
    entropy = summary(points, "entropy", 0.5)
    assert (entropy <= np.log(len(cloud) - 1) + 1e-9).all()


def test_quantiles_are_those_of_numpy() -> None:
    points = torch.randn(30, 4, 1, dtype=torch.float64)
    for share in (0.0, 0.3, 0.77, 1.0):
        wanted = np.quantile(deaths(points).numpy(), share, axis=1)
        np.testing.assert_allclose(summary(points, "quantile", share).numpy(), wanted, rtol=1e-12)


# --- the points of examples -------------------------------------------------------------------------------------------


def maps(rows: list[list[float]]) -> Tensor:
    """One unit, a row of tokens for each example."""
    return torch.tensor(rows)[:, None, :, None]


TOKENS = torch.tensor([[True, True, True, False], [False, True, True, True], [True, False, False, False]])
ROWS = maps([[1.0, 2.0, 3.0, 99.0], [99.0, 4.0, 5.0, 6.0], [7.0, 99.0, 99.0, 99.0]])


@pytest.mark.parametrize(
    ("positions", "wanted"),
    [
        (Positions("first"), [[1.0], [4.0], [7.0]]),
        (Positions("last"), [[3.0], [6.0], [7.0]]),
        (Positions("mean"), [[2.0], [5.0], [7.0]]),
        (Positions("first", 2), [[1.0, 2.0], [4.0, 5.0]]),
        (Positions("last", 3), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    ],
)
def test_padding_never_counts(positions: Positions, wanted: list[list[float]]) -> None:
    assert positions(ROWS, TOKENS)[:, 0].tolist() == wanted


def test_without_a_mask_every_token_counts() -> None:
    assert Positions("mean")(maps([[1.0, 2.0, 3.0]]), None).tolist() == [[[2.0]]]


def test_maps_are_averaged_and_single_values_taken_as_they_are() -> None:
    images = torch.randn(3, 2, 4, 5)
    torch.testing.assert_close(Positions("first")(images, None)[..., 0], images.mean((2, 3)))
    rows = torch.randn(3, 2, 1, 1)
    assert torch.equal(Positions("mean")(rows, None), rows[..., 0])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("place", "count"), [("middle", 1), ("mean", 2), ("first", 0)])
def test_positions_that_there_are_not_are_refused(place: str, count: int) -> None:
    with pytest.raises((SettingsError, UnknownNameError), match=r"place|positions"):
        Positions(place, count)  # type: ignore[arg-type]


def test_clouds_refuse_what_has_no_distance() -> None:
    with pytest.raises(DataError, match="1 of 6 outputs are NaN"):
        _ = Cloud().observe(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, float("nan")]).reshape(3, 2, 1)).points
    with pytest.raises(DataError, match="fewer positions"):
        _ = Cloud().observe(torch.zeros(0, 2, 1)).points
