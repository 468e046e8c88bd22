"""Batches, splits and statistics: what tables are loaded with."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from secateur.data import TensorBatches
from secateur.data.assembly import assemble
from secateur.data.batches import StreamedBatches
from secateur.data.layout import lay_out
from secateur.data.moments import Sample, enlarged, joined, moments, repeated
from secateur.data.reading import CHUNK_CELLS, CsvFile
from secateur.data.splits import PARTS, Drawn, Shares, count_drawn, split
from secateur.data.tables import inspected, streamed
from secateur.errors import DataError, SettingsError
from secateur.task import Task

SHARES = Shares(validation=0.2, test=0.3, seed=5)


@given(rows=st.integers(0, 40), batch_size=st.integers(1, 12))
def test_batches_are_all_rows_in_order_and_none_has_one_row_only(rows: int, batch_size: int) -> None:
    batches = list(table := TensorBatches((torch.arange(rows), torch.arange(rows) * 2), batch_size))
    assert len(batches) == len(table)
    assert [int(row) for inputs, _ in batches for row in inputs] == list(range(rows))
    assert all(torch.equal(inputs * 2, targets) for inputs, targets in batches)
    sizes = [len(inputs) for inputs, _ in batches]
    assert all(size == batch_size for size in sizes[:-1])
    if batch_size > 1 and rows > 1:
        assert min(sizes) > 1


def test_batches_are_views_that_can_be_read_again() -> None:
    rows = torch.randn(10, 3)
    batches = TensorBatches((rows,), 4)
    assert next(iter(batches))[0].data_ptr() == rows.data_ptr()
    assert len(list(batches)) == len(list(batches)) == 3
    assert Task.classification(train=batches).train is batches


def test_shuffling_follows_the_global_generator() -> None:
    batches = TensorBatches((torch.arange(50),), 8, shuffle=True)
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append(torch.cat([rows for (rows,) in batches]).tolist())
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(50)) != orders[0]


def test_batches_of_unequal_tensors_or_of_no_size_are_refused() -> None:
    with pytest.raises(DataError, match=r"\[2, 3\] rows"):
        TensorBatches((torch.zeros(2), torch.zeros(3)))
    with pytest.raises(DataError, match="rows"):
        TensorBatches(())
    with pytest.raises(SettingsError, match="batch_size is 0"):
        TensorBatches((torch.zeros(2),), 0)


@given(sizes=st.lists(st.integers(0, 20), max_size=6), batch_size=st.integers(1, 12))
def test_streamed_batches_are_the_batches_of_all_chunks_together(sizes: list[int], batch_size: int) -> None:
    ends = np.cumsum([0, *sizes])
    chunks = [torch.arange(start, end) for start, end in pairwise(ends.tolist())]
    streamed = StreamedBatches(chunks, lambda chunk: (chunk, -chunk), int(ends[-1]), batch_size)
    together = TensorBatches((torch.arange(ends[-1]), -torch.arange(ends[-1])), batch_size)
    assert len(streamed) == len(together)
    found, wanted = list(streamed), list(together)
    assert len(found) == len(wanted)
    for batch, expected in zip(found, wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))


def test_a_shuffled_stream_mixes_the_rows_of_a_chunk() -> None:
    chunks = [torch.arange(0, 40), torch.arange(40, 80)]
    streamed = StreamedBatches(chunks, lambda chunk: (chunk, -chunk), 80, 16, shuffle=True)
    inputs, targets = (torch.cat(column) for column in zip(*streamed, strict=True))
    assert torch.equal(inputs, -targets)
    assert inputs[:40].tolist() != list(range(40))
    assert sorted(inputs[:40].tolist()) == list(range(40))


@given(
    labels=st.lists(st.integers(0, 3), min_size=10, max_size=120),
    validation=st.floats(0.0, 0.25),
    test=st.floats(0.0, 0.25),
    seed=st.integers(0, 9),
)
def test_a_split_is_disjoint_complete_and_by_class(
    labels: list[int], validation: float, test: float, seed: int
) -> None:
    classes = np.array(labels)
    parts = split(classes, Shares(validation, test, seed))
    assert_array_equal(np.sort(np.concatenate([parts[part] for part in PARTS])), np.arange(len(labels)))
    assert set(classes[parts["train"]]) == set(labels)
    assert abs(len(parts["test"]) - test * len(labels)) <= 1
    assert abs(len(parts["validation"]) - validation * len(labels)) <= 1
    for label in set(labels):
        rows = labels.count(label)
        assert abs((classes[parts["test"]] == label).sum() - test * rows) <= 2


def test_large_classes_are_split_alike_to_within_two_rows() -> None:
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    parts = split(labels, SHARES)
    for part, share in (("train", 0.5), ("validation", 0.2), ("test", 0.3)):
        assert_allclose(np.bincount(labels[parts[part]]), share * np.array([700, 250, 50]), atol=2)


def test_a_split_is_random_within_a_class_and_follows_the_seed() -> None:
    labels = np.zeros(100, dtype=np.int64)
    first, again, other = (split(labels, Shares(0.2, 0.3, seed))["test"] for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert set(first) != set(other)
    assert len(set(np.diff(first))) > 3


def test_drawn_parts_do_not_depend_on_the_chunks_and_are_counted_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x\n" + "".join(f"{row}\n" for row in range(1000)))
    counts = count_drawn(1000, SHARES)
    rows = {}
    for part in PARTS:
        by_chunks = []
        for cells in (7, 256, CHUNK_CELLS):
            chunks = list(CsvFile(path, chunk_cells=cells).chunks({}))
            assert max(map(len, chunks)) <= cells
            by_chunks.append([row for chunk in Drawn(chunks, part, SHARES) for row in chunk.x])
        assert by_chunks[0] == by_chunks[1] == by_chunks[2]
        assert len(by_chunks[0]) == counts[part]
        rows[part] = by_chunks[0]
    assert sorted(row for part in PARTS for row in rows[part]) == list(range(1000))
    assert len(rows["test"]) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_moments_of_chunks_are_those_of_all_rows(offset: float) -> None:
    values = np.random.default_rng(0).normal(size=(101, 4)) + offset
    values[::7, 1] = np.nan
    values[:, 2] = np.nan
    values[:, 3] = 0.1 + offset
    total = moments(values[:0])
    for start, end in ((0, 1), (1, 50), (50, 50), (50, 101)):
        total = joined(total, moments(values[start:end]))
    present = values[:, [0, 1, 3]]
    assert_array_equal(total.count, (~np.isnan(values)).sum(axis=0))
    assert_allclose(total.mean[[0, 1, 3]], np.nanmean(present, axis=0), rtol=1e-12)
    assert_allclose(total.std[[0, 1]], np.nanstd(values[:, :2], axis=0), rtol=1e-6)
    assert_array_equal(total.std[[2, 3]], 0.0)


def test_moments_with_gaps_filled_are_those_of_the_filled_column() -> None:
    values = np.array([[1.0, 5.0], [np.nan, 5.0], [4.0, np.nan]])
    filled = joined(moments(values), repeated(np.array([2.0, 5.0]), np.array([1.0, 1.0])))
    assert_allclose(filled.std, np.std([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]], axis=0))
    assert filled.std[1] == 0


def test_a_sample_without_a_limit_has_the_exact_median() -> None:
    values = np.random.default_rng(0).exponential(size=(99, 2))
    values[::5, 0] = np.nan
    sample = Sample(np.empty(0), np.empty((0, 2)), None)
    for start in range(0, 99, 10):
        sample = enlarged(sample, values[start : start + 10], np.random.default_rng(1))
    assert_allclose(sample.medians, np.nanmedian(values, axis=0))


def test_a_limited_sample_draws_all_rows_alike() -> None:
    generator = np.random.default_rng(3)
    sample = Sample(np.empty(0), np.empty((0, 1)), 400)
    for start in range(0, 20_000, 1000):
        sample = enlarged(sample, np.arange(start, start + 1000, dtype=np.float64)[:, None], generator)
    assert sample.values.shape == (400, 1)
    assert len(np.unique(sample.values)) == 400
    assert_allclose(np.quantile(sample.values, [0.25, 0.5, 0.75]), [5000, 10_000, 15_000], atol=1500)


def streaming_peak(path: Path, rows: int) -> int:
    """The most bytes in use from inspecting a file to the end of one reading, in chunks of 1,000 rows."""
    numbers = np.random.default_rng(0).normal(size=(1000, 2))
    block = "".join(f"{a:.4f},{b:.4f},{'rgb'[row % 3]},{a - b:.4f}\n" for row, (a, b) in enumerate(numbers))
    path.write_text("a,b,c,y\n" + block * (rows // 1000))
    file = CsvFile(path, chunk_cells=4000)
    tracemalloc.start()
    layout = lay_out(inspected(file, "y"), "y", None, "here")
    loaded = assemble("table", layout, streamed(file, layout, SHARES), batch_size=64)
    seen = sum(len(inputs) for inputs, _ in loaded.task.batches("calibration"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == loaded.rows["train"] == pytest.approx(rows / 2, rel=0.05)
    return peak


def test_memory_does_not_grow_with_the_rows_of_a_stream(tmp_path: Path) -> None:
    few, many = (streaming_peak(tmp_path / f"{rows}.csv", rows) for rows in (5_000, 25_000))
    assert many < 1.3 * few


def test_columns_are_found_alike_whatever_the_chunks(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    late = [f"{row},{'x' if row == 90 else row % 3},{row > 50},,{row / 2}\n" for row in range(100)]
    path.write_text("a,b,c,d,y\n" + "".join(late))
    whole, *others = (inspected(CsvFile(path, chunk_cells=cells), "y") for cells in (10_000, 5, 35, 455))
    assert all(other == whole for other in others)
    assert [name for name, column in whole.items() if column.is_text] == ["b", "c"]
    assert whole["b"].first_text == (91, "x")
    assert (whole["c"].numbers, whole["d"].entries, whole["d"].first_missing) == (0, 0, 1)
    assert len(whole["y"].texts or ()) == 100
