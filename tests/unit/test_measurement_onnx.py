"""How long a network takes in ONNX Runtime."""

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from counted import Residual, Text, text
from secateur.errors import CompressionError, FileError, SettingsError
from secateur.export import export_onnx
from secateur.measurement import measure_latency, measure_onnx_latency

pytestmark = pytest.mark.usefixtures("quick")


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
