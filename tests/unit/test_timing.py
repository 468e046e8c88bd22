"""Predicted latency: tables of operators' times, what is read between their sizes, and clocks made of them."""

import logging
import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secateur import zoo
from secateur.errors import SettingsError
from secateur.folding import fold
from secateur.inference import evaluating
from secateur.measurement.latency import of_size
from secateur.timing import calls, clock_for, grid, table
from secateur.timing.replaying import work_of
from secateur.timing.stopwatch import Stopwatch
from secateur.timing.table import Table
from secateur.tracing import arguments_of_example

CPU = torch.device("cpu")
SIZES = st.integers(1, 5000)
BILINEAR = (3.0, 0.5, 0.25, 0.125)


pytestmark = pytest.mark.usefixtures("quick")


class Net(nn.Module):
    """Two products and whatever stands between them."""

    def __init__(self, width: int, between: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.last = nn.Linear(4, width), between, nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.first(x)))


def product(rows: int, inner: int, columns: int) -> calls.Call:
    shapes = (calls.Shape(sizes, torch.float32, (0, 1)) for sizes in ((rows, inner), (inner, columns)))
    return calls.Call(torch.ops.aten.mm.default, tuple(shapes), {})


def analytic(formula: Callable[[int, int], float]) -> Callable[[Callable[[], Any]], float]:
    """A stopwatch that knows what a product of matrices of ones takes: its entries are what was summed over."""

    def taken(work: Callable[[], Any]) -> float:
        found = work()
        return formula(round(found[0, 0].item()), found.shape[1])

    return taken


# --- between the sizes that are measured ------------------------------------------------------------------------------


@given(SIZES)
def test_a_size_is_the_mean_of_its_corners(size: int) -> None:
    found = grid.corners(size)
    assert math.isclose(sum(weight for _, weight in found), 1.0)
    assert math.isclose(sum(corner * weight for corner, weight in found), size)
    assert all(corner >= 1 and 0 < weight <= 1 for corner, weight in found)


@given(SIZES)
def test_aligned_sizes_follow_from_aligned_ones_and_others_from_others(size: int) -> None:
    if size > grid.ALL:
        assert {corner % 8 == 0 for corner, _ in grid.corners(size)} == {size % 8 == 0}


@given(SIZES)
def test_no_corner_lies_behind_a_jump(size: int) -> None:
    """Kernels do whole blocks of 8: up to 128, all corners of a size are in the block that the size is in."""
    if size <= 128:
        assert {(corner - 1) // 8 for corner, _ in grid.corners(size)} == {(size - 1) // 8}


@settings(max_examples=25)
@given(st.integers(1, 300), st.integers(1, 300))
def test_what_is_linear_in_every_size_is_read_exactly(inner: int, columns: int) -> None:
    def formula(k: int, n: int) -> float:
        return BILINEAR[0] + BILINEAR[1] * k + BILINEAR[2] * n + BILINEAR[3] * k * n

    known = Table(analytic(formula), CPU)
    assert known.of(product(3, inner, columns)) == pytest.approx(formula(inner, columns))


def test_more_removed_is_never_read_as_slower() -> None:
    known = Table(analytic(lambda k, n: 5 + math.ceil(k / 16) * math.ceil(n / 8)), CPU)
    times = [known.of(product(2, width, 2 * width)) for width in range(1, 200)]
    assert all(later >= earlier * 0.9 for earlier, later in pairwise(times))


def test_a_table_of_many_sizes_measures_few() -> None:
    known = Table(analytic(lambda k, n: k + n), CPU)
    for width in range(1, 1025, 3):
        known.of(product(2, width, 16))
    assert known.measured < 125


# --- the calls of a network -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (zoo.build("lenet"), zoo.example("lenet")),
        (zoo.build("mlp", features=6, outputs=3, hidden=(9, 9)), torch.randn(2, 6)),
        (nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), torch.randn(2, 5, 8)),
    ],
)
def test_calls_on_many_rows_are_those_of_a_run_on_as_many(model: nn.Module, example: Tensor) -> None:
    arguments = arguments_of_example(example)
    found = calls.calls_of(model, arguments, 24)
    assert [call.key for call in found] == [call.key for call in calls._run(model, of_size(arguments, 24))]


def test_every_call_is_made_again_with_outputs_of_the_same_shapes() -> None:
    model, example = zoo.build("lenet"), zoo.example("lenet")
    seen = []

    class Watching(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            first = found[0] if isinstance(found, tuple) else found
            seen.append((tuple(first.shape), first.stride()))
            return found

    with evaluating(model) as predict, Watching():
        predict(arguments_of_example(example))
    made = []
    with torch.no_grad():
        for call in calls.calls_of(model, arguments_of_example(example), len(example)):
            found = work_of(call, CPU)()
            first = found[0] if isinstance(found, tuple) else found
            made.append((tuple(first.shape), first.stride()))
    assert made == seen


def test_a_call_that_cannot_be_made_alone_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    shape = calls.Shape((1, 2, 3), torch.float32, (0, 1, 2))
    known = Table(lambda work: float(work().sum()), CPU)
    with caplog.at_level(logging.INFO, "secateur"):
        assert known.of(calls.Call(torch.ops.aten.bmm.default, (shape, shape), {})) == 0
    assert "aten.bmm.default cannot be timed alone" in caplog.text


# --- the file ---------------------------------------------------------------------------------------------------------


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    model, path = zoo.build("mlp", features=6, outputs=3, hidden=(9,)), tmp_path / "times.json"
    clock = clock_for(model, torch.randn(2, 6), path=path)
    again = clock_for(model, torch.randn(2, 6), path=path)
    again.milliseconds(model)
    assert clock.table.measured > 0
    assert again.table.measured == 0
    assert again.table.times == clock.table.times


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9, "times": {}}', '{"format": 1, "times": {"a": "b"}}', ""])
def test_a_damaged_file_is_measured_anew_with_a_note(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "times.json"
    path.write_text(content)
    known = Table(analytic(lambda k, n: k + n), CPU, path, table.read(path))
    known.of(product(2, 5, 6))
    known.save()
    assert "measured anew" in caplog.text
    assert list(table.read(path).values()) == [11.0]


def test_two_processes_keep_what_both_have_measured(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    both = [Table(analytic(lambda k, n: k + n), CPU, path, table.read(path)) for _ in range(2)]
    for known, width in zip(both, (5, 7), strict=True):
        known.of(product(2, width, 6))
        known.save()
    assert sorted(value or 0 for value in table.read(path).values()) == [11.0, 13.0]


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    known = Table(analytic(lambda k, n: k + n), CPU, tmp_path / "file" / "times.json")
    known.of(product(2, 5, 6))
    known.save()
    assert "not kept" in caplog.text


def test_files_lie_in_the_cache_folder_one_for_each_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secateur.timing.places import place_of

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, two = place_of(CPU, 1), place_of(CPU, 2)
    assert one != two
    assert one.is_relative_to(tmp_path / "secateur")


# --- the stopwatch and the clock --------------------------------------------------------------------------------------


def busy(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_stopwatch_tells_work_in_calls_of_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter_ns", time.thread_time_ns)
    watch = Stopwatch(CPU, 1, lambda: busy(2e-4))
    assert watch.time(lambda: busy(6e-4)) == pytest.approx(3, rel=0.3)


@torch.library.custom_op("secateur_test::nap", mutates_args=())
def nap(x: Tensor) -> Tensor:
    """Takes 0.4 ms for each feature, whatever it is given."""
    busy(4e-4 * x.shape[1])
    return x.clone()


class Nap(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nap(x)


def test_time_that_grows_with_the_width_is_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter_ns", time.thread_time_ns)  # other work on the machine must not count
    clock = clock_for(Net(16, Nap()), torch.randn(2, 4), path=tmp_path / "times.json")
    for width in (8, 12):
        assert clock.milliseconds(Net(width, Nap())) / clock.original == pytest.approx(width / 16, rel=0.3)


def test_the_original_is_predicted_to_take_what_it_took(tmp_path: Path) -> None:
    model = zoo.build("lenet")
    clock = clock_for(model, zoo.example("lenet"), 8, path=tmp_path / "times.json")
    assert clock.milliseconds(model) == pytest.approx(clock.original)
    assert clock.now() == pytest.approx(clock.original)


def test_a_folded_network_is_predicted_with_fewer_calls(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Identity(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    example = torch.randn(2, 4)
    clock = clock_for(model, example, path=tmp_path / "times.json")
    assert clock.milliseconds(fold(model, example).model) < clock.original


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(SettingsError, match="batch_size: 0"):
        clock_for(nn.Linear(2, 2), torch.randn(2, 2), 0)
    with pytest.raises(SettingsError, match="threads: -1"):
        clock_for(nn.Linear(2, 2), torch.randn(2, 2), threads=-1)
