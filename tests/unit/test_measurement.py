"""What a measurement promises."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from counted import Residual, Text, text
from secateur.errors import CompressionError, DataError, FileError, ModelError, SettingsError, UnknownNameError
from secateur.export import export_onnx
from secateur.measurement import compare_latency, latency, measure, measure_latency, measure_onnx_latency, size_bytes
from secateur.result import Latency
from secateur.task import Task


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_SECONDS", 0.02)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3, bias=False))


def batches(rows: int = 20) -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(rows, 4)
    return [(inputs[:12], torch.arange(12) % 3), (inputs[12:], torch.arange(rows - 12) % 3)]


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


def test_parameters_and_multiply_adds_are_those_of_the_formula() -> None:
    found = measure(net(), Task.classification(train=batches()), latency=False)
    assert found.parameters == (4 * 8 + 8) + (8 + 8) + 8 * 3
    assert found.macs == 4 * 8 + 8 * 3
    assert found.macs_by_operator == {"linear": found.macs}
    assert found.peak_activation_bytes == 4 * (4 + 8 + 8)  # into the norm; later ones are smaller
    assert found.uncounted == ()
    assert found.latency == ()


def test_multiply_adds_that_are_not_counted_are_named() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x[:, None])[0][:, 0])

    found = measure(Recurrent(), Task.classification(train=batches()), latency=False)
    assert (found.macs, found.uncounted) == (8 * 3, ("gru",))


def test_tied_parameters_count_once_and_work_twice() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = measure(model, Task.regression(train=[(torch.randn(5, 4), torch.randn(5, 4))]), latency=False)
    assert found.parameters == 16 + 4 + 4
    assert found.macs == 2 * 16


def test_size_is_that_of_the_file_that_safetensors_writes(tmp_path: Path) -> None:
    model = net()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "plain")
    assert size_bytes(model) == (tmp_path / "plain").stat().st_size

    tied = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    tied[1].weight = tied[0].weight
    once = {name: value for name, value in tied.state_dict().items() if name != "1.weight"}
    safetensors.torch.save_file(once, tmp_path / "tied")
    assert size_bytes(tied) == (tmp_path / "tied").stat().st_size


def test_size_counts_memory_that_different_tensors_share_for_each() -> None:
    def model(left: Tensor, right: Tensor) -> nn.Module:
        found = nn.Module()
        found.register_buffer("left", left)
        found.register_buffer("right", right)
        return found

    whole = torch.zeros(6, 4)
    assert size_bytes(model(whole[:3], whole[3:])) == size_bytes(model(torch.zeros(3, 4), torch.ones(3, 4)))
    assert size_bytes(model(whole.t(), whole[:0])) == size_bytes(model(torch.zeros(4, 6), torch.zeros(0, 4)))


def test_a_model_without_state_has_the_size_of_an_empty_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({}, tmp_path / "empty")
    assert size_bytes(nn.Flatten()) == (tmp_path / "empty").stat().st_size


def test_quality_is_that_of_the_asked_split_in_eval_mode() -> None:
    model = net().train()
    task = Task.classification(train=batches(), validation=batches(), test=batches(16))
    found = measure(model, task, split="test", latency=False).quality
    assert model.training
    model.eval()
    hits = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in task.test or ()])
    assert found == {"accuracy": pytest.approx(100.0 * hits.double().mean().item())}


def test_a_split_that_the_task_lacks_has_no_quality() -> None:
    task = Task.classification(train=batches())
    assert measure(net(), task, latency=False).quality == {}
    assert measure(net(), task, split="test", latency=False).quality == {}
    assert measure(net(), task, split="calibration", latency=False).quality.keys() == {"accuracy"}


def test_the_measured_split_serves_as_example_where_there_is_no_other_data() -> None:
    found = measure(net(), Task.classification(test=batches()), split="test", batch_sizes=(3,))
    assert (found.macs, found.latency[0].batch_size) == (4 * 8 + 8 * 3, 3)
    assert found.quality.keys() == {"accuracy"}


def test_a_task_without_data_cannot_be_measured_on() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        measure(net(), Task.classification(), latency=False)


def test_a_model_with_nan_is_refused() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(ModelError):
        measure(model, Task.classification(train=batches()), latency=False)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_split_brings_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="'tests' is not a known split; did you mean test"):
        measure(net(), Task.classification(train=batches()), split="tests")  # type: ignore[arg-type]


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


def product(path: Path, rows: int | str = "rows") -> Path:
    """A network of one matrix product of its inputs, written node by node."""
    places = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [rows, 4]), ("w", [4, 3]))]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 3])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", places, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_an_onnx_network_is_timed_in_onnx_runtime(tmp_path: Path) -> None:
    path = product(tmp_path / "product.onnx")
    found = measure_onnx_latency(path, (torch.zeros(2, 4), torch.zeros(4, 3)), 6)
    assert (found.batch_size, found.threads, found.engine) == (6, 1, "onnxruntime")
    assert found.median_ms > 0
    assert found.repeats > 3


def test_exported_convolutions_and_encoders_are_timed_as_the_originals_are_called(tmp_path: Path) -> None:
    images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    ids, mask = text()
    cases: list[tuple[nn.Module, Any]] = [
        (Residual().to(memory_format=torch.channels_last), images),
        (Text(), {"input_ids": ids, "attention_mask": mask}),
    ]
    for number, (model, example) in enumerate(cases):
        path = tmp_path / f"{number}.onnx"
        export_onnx(model, path, example)
        for rows in (1, 32):
            assert measure_latency(model, example, rows).batch_size == rows
            assert measure_onnx_latency(path, example, rows).batch_size == rows


def test_named_inputs_reach_an_onnx_network_by_name(tmp_path: Path) -> None:
    path = product(tmp_path / "product.onnx", rows=2)
    assert measure_onnx_latency(path, {"w": torch.zeros(4, 3), "x": torch.zeros(2, 4)}, 4).repeats >= 3


def test_an_onnx_network_for_another_batch_size_says_so(tmp_path: Path) -> None:
    path = product(tmp_path / "fixed.onnx", rows=2)
    with pytest.raises(SettingsError, match=r"fixed\.onnx: its input x takes 2 rows, not 3; set batch_size=2"):
        measure_onnx_latency(path, (torch.zeros(2, 4), torch.zeros(4, 3)), 3)
    with pytest.raises(SettingsError, match="it takes 2 inputs, the example has 1"):
        measure_onnx_latency(path, torch.zeros(2, 4), 2)


def test_a_file_that_onnx_runtime_cannot_use_is_named(tmp_path: Path) -> None:
    path = product(tmp_path / "product.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a network" * 9)
    with pytest.raises(FileError, match=r"none\.onnx: there is no such file"):
        measure_onnx_latency(tmp_path / "none.onnx", torch.zeros(2, 4))
    with pytest.raises(FileError, match=r"damaged\.onnx: ONNX Runtime refuses it: .*; export it again"):
        measure_onnx_latency(damaged, torch.zeros(2, 4))
    with pytest.raises(FileError, match=r"product\.onnx: ONNX Runtime refuses it"):
        measure_onnx_latency(path, (torch.zeros(2, 9), torch.zeros(4, 3)), 2)
    with pytest.raises(FileError, match=r"product\.onnx: ONNX Runtime refuses it"):
        measure_onnx_latency(path, (torch.zeros(2, 4).double(), torch.zeros(4, 3)), 2)


def test_without_onnx_runtime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CompressionError, match=r"ONNX Runtime is not installed; pip install secateur\[onnx\]"):
        measure_onnx_latency(product(tmp_path / "product.onnx"), torch.zeros(2, 4))
