"""What an export would get wrong is refused, and nothing of it is kept."""

# ruff: noqa: ARG005  # all functions of `Of` share one signature

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exported import BOTH, Export, Of
from secateur import onnxfile
from secateur.errors import ExportError, FileError
from secateur.export import export_onnx, export_program
from secateur.tracing import Example


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda h, x, y: h + torch.rand_like(h), "on 3 rows the exported model differs from PyTorch by"),
        (lambda h, x, y: h + torch.zeros(3, 1), "the model itself fails on 7 rows"),
        (lambda h, x, y: h * len(x.tolist()), "on 3 rows|does not run: Guard failed"),
        (lambda h, x, y: h if h.sum() > 0 else x, "torch.export cannot follow it: Could not guard on data-dependent"),
        (lambda h, x, y: h @ x, "the model itself fails on 3 rows: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
@BOTH
def test_what_the_export_would_get_wrong_is_refused_and_not_kept(
    tmp_path: Path, export: Export, name: str, function: Callable[..., Any], complaint: str
) -> None:
    model = Of(function).train()
    with pytest.raises(ExportError, match=complaint) as caught:
        export(model, tmp_path / name, torch.randn(3, 4))

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert model.training


def test_a_small_error_in_a_small_output_is_seen_beside_a_large_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = onnxfile.runner

    def off(path: Path) -> Callable[..., list[Tensor]]:
        return lambda given: [output + 2e-6 * (i == 1) for i, output in enumerate(right(path)(given))]

    model = Of(lambda h, x, y: (1000.0 + h, 0.01 * h.sigmoid()))
    monkeypatch.setattr(onnxfile, "runner", off)
    with pytest.raises(ExportError, match=r"differs from PyTorch by 2\.0e-06, where outputs reach"):
        export_onnx(model, tmp_path / "net.onnx", torch.randn(3, 4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("dtype", "scale", "error", "is_rounding"),
    [
        (torch.float32, 1.0, 5e-5, True),
        (torch.float32, 1.0, 5e-4, False),
        (torch.float32, 1e-9, 5e-8, True),
        (torch.float32, 1e-9, 5e-7, False),
        (torch.float16, 1.0, 2e-3, True),
        (torch.float16, 1.0, 2e-2, False),
    ],
)
def test_a_difference_is_forgiven_as_far_as_rounding_explains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, scale: float, error: float, is_rounding: bool
) -> None:
    model, x = Of(lambda h, x, y: torch.ones_like(h) * scale).to(dtype), torch.randn(2, 4, dtype=dtype)
    monkeypatch.setattr(onnxfile, "write", lambda program, path, dynamic, output: path.write_bytes(b"net"))
    monkeypatch.setattr(
        onnxfile, "runner", lambda path: lambda given: [torch.full((len(given[0][0]), 2), scale + error, dtype=dtype)]
    )
    if is_rounding:
        assert export_onnx(model, tmp_path / "net.onnx", x) == pytest.approx(error, rel=0.1)
    else:
        with pytest.raises(ExportError, match="differs from PyTorch by"):
            export_onnx(model, tmp_path / "net.onnx", x)


def test_a_wrong_shape_and_a_nan_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnxfile.runner
    for change, complaint in (
        (lambda t: t[:, :1], r"puts out shapes \[\[3, 1\]\], PyTorch \[\[3, 2\]\]"),
        (lambda t: t * torch.nan, "differs from PyTorch by inf"),
    ):
        monkeypatch.setattr(
            onnxfile, "runner", lambda path, change=change: lambda g: [change(t) for t in right(path)(g)]
        )
        with pytest.raises(ExportError, match=complaint):
            export_onnx(nn.Linear(4, 2), tmp_path / "net.onnx", torch.randn(3, 4))
    assert list(tmp_path.iterdir()) == []


def test_operators_and_types_that_onnx_lacks_are_refused_by_name(tmp_path: Path) -> None:
    for model, dtype, complaint in (
        (Of(lambda h, x, y: torch.linalg.eigvalsh(x[:, :, None] * x[:, None])), torch.float32, "eigh.*export_program"),
        (Of(lambda h, x, y: h).bfloat16(), torch.bfloat16, "onnxruntime cannot .*float32"),
    ):
        x = torch.randn(3, 4, dtype=dtype)
        with pytest.raises(ExportError, match=complaint):
            export_onnx(model, tmp_path / "net.onnx", x)
        assert export_program(model, tmp_path / "net.pt2", x) < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt2"]


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExportError, match=rf"needs {name}, which is not installed: pip install 'secateur\[onnx\]'"):
        export_onnx(nn.Linear(4, 2), tmp_path / "net.onnx", torch.randn(2, 4))


@pytest.mark.parametrize("example", [torch.zeros(0, 4), torch.tensor(1.0), (), {"x": 3}])
@BOTH
def test_examples_without_rows_are_refused(tmp_path: Path, export: Export, name: str, example: Example) -> None:
    with pytest.raises(ExportError, match="the example holds no rows; give inputs with at least one row"):
        export(nn.Linear(4, 2), tmp_path / name, example)


@BOTH
def test_places_that_cannot_be_written_are_refused(tmp_path: Path, export: Export, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="its folder does not exist; create it first"):
        export(nn.Linear(4, 2), tmp_path / "none" / name, torch.randn(2, 4))
    with pytest.raises(FileError, match="this is a folder; give the name of a file"):
        export(nn.Linear(4, 2), tmp_path / "folder", torch.randn(2, 4))


@BOTH
def test_a_refused_export_leaves_the_old_file(tmp_path: Path, export: Export, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(ExportError):
        export(Of(lambda h, x, y: h + torch.rand_like(h)), tmp_path / name, torch.randn(2, 4))

    assert (tmp_path / name).read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [name]
