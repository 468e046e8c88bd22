"""What is exported computes what the model does, for every batch size."""

# ruff: noqa: ARG005  # all functions of `Of` share one signature

import logging
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from exported import BOTH, Export, Of, net
from secateur import onnxfile
from secateur.errors import ExportError
from secateur.export import export_onnx
from secateur.programs import quiet
from secateur.tracing import Example


def emptied() -> nn.Module:
    """A branch that has lost all its units."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch: "Initializing zero-element tensors is a no-op"
        return nn.Sequential(nn.Linear(4, 0), nn.ReLU(), nn.Linear(0, 3))


def run_onnx(path: Path, *inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})


def run_program(path: Path, *inputs: Tensor) -> list[np.ndarray]:
    output = torch.export.load(path).module()(*inputs)
    return [t.detach().numpy() for t in (output if isinstance(output, tuple) else (output,))]


@BOTH
def test_an_exported_net_puts_out_what_the_net_does_for_any_batch(tmp_path: Path, export: Export, name: str) -> None:
    model = net()
    difference = export(model, tmp_path / name, torch.randn(2, 4))

    run = run_onnx if export is export_onnx else run_program
    for rows in (1, 2, 7):
        x = torch.randn(rows, 4)
        wanted = model.eval()(x).detach().numpy()
        np.testing.assert_allclose(run(tmp_path / name, x)[0], wanted, rtol=1e-5, atol=1e-6)
    assert 0.0 <= difference < 1e-5
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_the_onnx_file_is_valid_and_names_its_batch_and_outputs(tmp_path: Path) -> None:
    model = Of(lambda h, x, y: {"logits": h + 1.0, "hidden": h * y})
    export_onnx(model, tmp_path / "net.onnx", {"y": torch.randn(3, 2), "x": torch.randn(3, 4)})

    file = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert [opset.version for opset in file.opset_import if opset.domain == ""] == [onnxfile.OPSET]
    assert [entry.name for entry in file.graph.output] == ["logits", "hidden"]
    assert {entry.name for entry in file.graph.input} == {"x", "y"}
    assert {entry.type.tensor_type.shape.dim[0].dim_param for entry in file.graph.input} == {"batch"}


@BOTH
def test_a_layer_without_units_is_exported(tmp_path: Path, export: Export, name: str) -> None:
    model = emptied()
    export(model, tmp_path / name, torch.randn(2, 4))

    x = torch.randn(5, 4)
    run = run_onnx if export is export_onnx else run_program
    np.testing.assert_allclose(run(tmp_path / name, x)[0], model[2].bias.detach().expand(5, 3).numpy())


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (nn.Linear(4, 2), torch.randn(1, 4)),
        (Of(lambda h, x, y: h + y), (torch.randn(3, 4), torch.randn(3, 2))),
        (Of(lambda h, x, y: h + y), {"y": torch.randn(3, 2), "x": torch.randn(3, 4)}),
        (Of(lambda h, x, y: h @ y.T), (torch.randn(3, 4), torch.randn(5, 2))),
        (Of(lambda h, x, y: h * y), (torch.randn(3, 4), 2.0)),
        (Of(lambda h, x, y: (h, h, x)), torch.randn(3, 4)),
        (Of(lambda h, x, y: {"x": x, "linear": h * 2, "nothing": None}), torch.randn(3, 4)),
        (Of(lambda h, x, y: h.argmax(-1)), torch.randn(3, 4)),
        (Of(lambda h, x, y: h[:, :0]), torch.randn(3, 4)),
        (Of(lambda h, x, y: h.masked_fill(h > 0, -torch.inf)), torch.randn(3, 4)),
        (Of(lambda h, x, y: (h - 100).log()), torch.randn(3, 4)),
        (Of(lambda h, x, y: h * 1e-12), torch.randn(3, 4)),
        (Of(lambda h, x, y: h).double(), torch.randn(3, 4, dtype=torch.float64)),
        (Of(lambda h, x, y: h).half(), torch.randn(3, 4).half()),
        (nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 2)), torch.tensor([[1, 2, 3], [4, 5, 6]])),
    ],
)
@BOTH
def test_inputs_and_outputs_of_every_form_are_exported(
    tmp_path: Path, export: Export, name: str, model: nn.Module, example: Example
) -> None:
    assert export(model, tmp_path / name, example) < 1e-3
    assert [file.name for file in tmp_path.iterdir()] == [name]


@BOTH
def test_the_model_is_left_as_found(tmp_path: Path, export: Export, name: str) -> None:
    model = net().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(model, tmp_path / name, torch.randn(2, 4))

    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_silence_ends_with_the_export() -> None:
    logger = logging.getLogger("torch.onnx")
    before = logger.level, warnings.filters[:]
    with suppress(ZeroDivisionError), quiet():
        assert logger.level == logging.CRITICAL
        raise ZeroDivisionError
    assert (logger.level, warnings.filters[:]) == before


def test_exporting_is_silent_even_the_first_time(tmp_path: Path) -> None:
    script = (
        "import torch; from secateur.export import export_onnx, export_program\n"
        "model, x = torch.nn.Linear(3, 2), torch.randn(2, 3)\n"
        "export_onnx(model, 'net.onnx', x), export_program(model, 'net.pt2', x)\n"
    )
    source = str(Path(onnxfile.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); {script}"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)

    assert (run.stdout, run.stderr) == (b"", b"")


def test_the_weights_of_a_huge_model_move_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 2 GB on the exporter writes a second file; here it does so for a small one."""
    save = torch.onnx.ONNXProgram.save
    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", lambda self, path: save(self, path, external_data=True))
    export_onnx(nn.Linear(4, 2), tmp_path / "net.onnx", torch.randn(2, 4))

    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert run_onnx(tmp_path / "net.onnx", torch.randn(3, 4))[0].shape == (3, 2)


class Words(nn.Module):
    """An encoder in small: it takes any number of words, or only as many as it has places for."""

    def __init__(self, places: int | None = None) -> None:
        super().__init__()
        self.table, self.mix = nn.Embedding(20, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4 * (places or 1), 3)
        self.places = places

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        words = self.mix(self.table(ids)) * mask[..., None]
        return self.head(words.flatten(1) if self.places else words.sum(1) / mask.sum(1, keepdim=True))


def words(rows: int, length: int) -> dict[str, Tensor]:
    ids = torch.randint(20, (rows, length), generator=torch.Generator().manual_seed(length))
    return {"ids": ids, "mask": torch.ones_like(ids)}


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
def test_texts_may_have_any_length_in_the_file(tmp_path: Path, length: int) -> None:
    model = Words().eval()
    export_onnx(model, tmp_path / "net.onnx", words(2, 6))
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert [place.shape for place in session.get_inputs()] == [["batch", "tokens"]] * 2
    given = words(3, length)
    (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
    np.testing.assert_allclose(found, model(**given).detach().numpy(), rtol=1e-4, atol=1e-6)


@BOTH
def test_a_model_of_so_many_words_keeps_their_number(tmp_path: Path, export: Export, name: str) -> None:
    assert export(Words(places=6).eval(), tmp_path / name, words(2, 6)) < 1e-5
    if name.endswith("onnx"):
        session = onnxruntime.InferenceSession(str(tmp_path / name))
        assert [place.shape for place in session.get_inputs()] == [["batch", 6]] * 2


class Short(Words):
    """What depends on the length in a way that no export sees: right for the example, wrong for others."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return super().forward(ids, mask) + (1.0 if torch.compiler.is_exporting() else ids.shape[1] / 6)


@BOTH
def test_another_length_is_compared_before_a_file_is_kept(tmp_path: Path, export: Export, name: str) -> None:
    with pytest.raises(ExportError, match="differs"):
        export(Short().eval(), tmp_path / name, words(2, 6))
    assert not (tmp_path / name).exists()
