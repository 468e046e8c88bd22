"""How long a network takes: called as when used, with rows of every size, in turns with others."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from measured import batches, net
from secateur.errors import DataError, SettingsError
from secateur.measurement import compare_latency, latency, measure, measure_latency, measure_onnx_latency
from secateur.result import Latency
from secateur.task import Task

pytestmark = pytest.mark.usefixtures("quick")


class Spy(nn.Module):
    """Notes how it is called, and takes its time."""

    def __init__(self, log: list[Any] | None = None, name: str = "", seconds: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.log = [] if log is None else log
        self.name, self.seconds = name, seconds

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        shapes = [value.shape if isinstance(value, Tensor) else value for value in (*args, *kwargs.values())]
        self.log.append((self.name, shapes, self.training, torch.get_num_threads(), torch.is_grad_enabled()))
        if self.seconds:
            time.sleep(self.seconds)
        return self.weight


def test_every_batch_size_is_timed() -> None:
    found = measure(net(), Task.classification(train=batches()), batch_sizes=(1, 7, 32)).latency
    assert [each.batch_size for each in found] == [1, 7, 32]
    assert all(each.median_ms > 0 and each.spread_ms >= 0 and each.repeats >= 3 for each in found)
    assert {(each.threads, each.engine) for each in found} == {(1, "pytorch")}


def test_the_model_runs_as_when_used_and_all_is_put_back() -> None:
    model = Spy().train()
    torch.set_num_threads(2)
    try:
        measure_latency(model, torch.zeros(2, 4), threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert model.training
    assert {(training, threads, graded) for _, _, training, threads, graded in model.log} == {(False, 1, False)}


def test_threads_are_put_back_after_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, *_: Tensor) -> Tensor:
            raise KeyboardInterrupt

    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        measure_latency(Broken(), torch.zeros(2, 4), threads=before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("size", [1, 3, 8])
def test_rows_are_repeated_or_cut_to_the_batch_size(size: int) -> None:
    scale = torch.ones(5)
    for example in ((torch.zeros(3, 4), scale, 0.5), {"x": torch.zeros(3, 4), "scale": scale, "flag": 0.5}):
        model = Spy()
        measure_latency(model, example, size)
        assert model.log[0][1] == [(size, 4), (5,), 0.5]


def test_repeated_rows_are_the_rows_of_the_example() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    (found,), _ = latency.of_size(((rows,), {}), 7)
    assert found.tolist() == [rows[i % 3].tolist() for i in range(7)]


def test_rows_inside_of_nested_arguments_are_repeated_too() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[torch.Size] = []

        def forward(self, batch: dict[str, Tensor], pair: tuple[Tensor, float]) -> Tensor:
            self.seen += [batch["x"].shape, pair[0].shape]
            return batch["x"]

    model = Nested()
    measure_latency(model, ({"x": torch.zeros(3, 4)}, (torch.zeros(3, 2), 0.5)), 7)
    assert model.seen[:2] == [(7, 4), (7, 2)]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_images_keep_their_memory_format(size: int) -> None:
    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)
            self.formats: list[bool] = []

        def forward(self, x: Tensor) -> Tensor:
            self.formats.append(x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous())
            return self.layer(x)

    model = Seen().to(memory_format=torch.channels_last)
    found = measure_latency(model, torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last), size)
    assert found.batch_size == size and set(model.formats) == {True}


def test_an_example_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        measure_latency(Spy(), torch.zeros(0, 4))
    assert measure_latency(Spy(), (torch.tensor(3.0),), 8).batch_size == 8


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"threads": 0}, {"batch_size": -1}])
def test_numbers_below_one_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"{name}: {wrong[name]} is out of range; give a whole number from 1 up"):
        measure_latency(Spy(), torch.zeros(2, 4), **wrong)
    with pytest.raises(SettingsError, match=name):
        measure_onnx_latency(tmp_path / "none.onnx", torch.zeros(2, 4), **wrong)


def test_median_and_spread_are_those_of_numpy() -> None:
    times = [5.0, 1.0, 9.0, 2.5, 2.0, 40.0]
    lower, median, upper = np.percentile(times, [25, 50, 75])
    found = latency.latency_of(times, 4, 1)
    assert (found.median_ms, found.spread_ms) == pytest.approx((median, upper - lower))
    assert found == Latency(found.median_ms, found.spread_ms, batch_size=4, threads=1, repeats=6)


def test_the_clock_shows_milliseconds() -> None:
    found = measure_latency(Spy(seconds=0.004), torch.zeros(2, 4))
    assert 4.0 <= found.median_ms < 40.0


def test_slow_models_are_called_few_times_and_fast_ones_often() -> None:
    slow = Spy(seconds=0.03)
    assert measure_latency(slow, torch.zeros(2, 4)).repeats == 3
    assert len(slow.log) == 1 + 3
    assert measure_latency(nn.Identity(), torch.zeros(2, 4)).repeats > 10


def test_models_are_compared_in_turns() -> None:
    log: list[Any] = []
    first, second = compare_latency([Spy(log, "a", 0.002), Spy(log, "b", 0.02)], torch.zeros(2, 4))

    order = [name for name, *_ in log]
    assert first.repeats == second.repeats
    assert all({left, right} == {"a", "b"} for left, right in zip(order[::2], order[1::2], strict=True))
    timed = order[-2 * first.repeats :]
    assert timed[:6] == ["a", "b", "b", "a", "a", "b"]
    assert second.median_ms > 19.0  # it sleeps for 20, by another clock
    assert 2.0 < second.median_ms / first.median_ms < 15.0  # ten times, but for what else the machine does


def test_comparing_nothing_gives_nothing_and_a_model_with_itself_is_fine() -> None:
    assert compare_latency([], torch.zeros(2, 4)) == ()
    model = Spy()
    assert len(compare_latency([model, model], torch.zeros(2, 4))) == 2
    assert model.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu_is_timed_by_the_gpu() -> None:
    model = nn.Linear(2048, 2048).cuda()
    found = compare_latency([model, nn.Sequential(*[model] * 20)], torch.zeros(2, 2048), 512)
    assert found[1].median_ms > 4 * found[0].median_ms > 0
