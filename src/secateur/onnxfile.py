"""ONNX files: written from a torch.export program, and run with onnxruntime."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from secateur.errors import ExportError
from secateur.programs import FAILURES, quiet, reason_of
from secateur.task import Arguments, tensors_in

BATCH, TOKENS = "batch", "tokens"
OPSET = 18  # the exporter's lowest: it converts nothing, and every onnxruntime since 1.14 reads it
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_REMEDY = "export in float32 without that operator, or use export_program."
_RUNTIME_ERRORS = (
    "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile",
    "NotImplemented", "RuntimeException",
)  # fmt: skip


def check_installed() -> None:
    """Refuse where a package that ONNX needs is missing.

    Raises:
        ExportError: names the package.
    """
    for name in _NEEDED:
        try:
            with quiet():
                import_module(name)
        except ImportError as error:
            raise ExportError(
                f"ONNX export needs {name}, which is not installed: pip install 'secateur[onnx]'."
            ) from error


def write(program: ExportedProgram, path: Path, dynamic: Any, output: Any) -> None:
    """Write a program as one ONNX file, beside one for the weights from 2 GB on; `output` names the file's outputs.

    Raises:
        ExportError: ONNX has no word for an operator.
    """
    try:
        with quiet():
            exported = torch.onnx.export(
                program, dynamo=True, verbose=False, opset_version=OPSET, dynamic_shapes=dynamic
            )
            assert exported is not None  # it is None only for the old exporter
            _name_outputs_(exported.model.graph, output)
            exported.save(path)
    except FAILURES as error:
        raise ExportError(f"{path.name}: cannot be written as ONNX: {reason_of(error)}; {_REMEDY}") from error


def runner(path: Path) -> Callable[[Arguments], list[Tensor]]:
    """The file's outputs for a model's arguments, by onnxruntime on the CPU.

    Raises:
        ExportError: onnxruntime cannot load or run the file.
    """
    runtime = import_module("onnxruntime")
    bindings = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    failures = (*FAILURES, *(getattr(bindings, name) for name in _RUNTIME_ERRORS))
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # its own messages come back as exceptions anyway

    def run(arguments: Arguments) -> list[Tensor]:
        try:
            names = [entry.name for entry in loaded.get_inputs()]
            values = [tensor.cpu().numpy() for tensor in tensors_in(arguments)]
            return [torch.from_numpy(output) for output in loaded.run(None, dict(zip(names, values, strict=True)))]
        except failures as error:
            raise ExportError(f"{path.name}: onnxruntime cannot run it: {reason_of(error)}; {_REMEDY}") from error

    try:
        loaded = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except failures as error:
        raise ExportError(f"{path.name}: onnxruntime cannot load it: {reason_of(error)}; {_REMEDY}") from error
    return run


def _name_outputs_(graph: Any, output: Any) -> None:
    """Name the outputs as the model's dict does, or `output`, where nothing else in the graph has that name."""
    named = output if isinstance(output, Mapping) else {"output": output}
    names = [name for name, value in named.items() if isinstance(value, Tensor)]
    taken = {value.name for node in graph for value in node.outputs} | {value.name for value in graph.inputs}
    for value, name in zip(graph.outputs, names, strict=False) if len(names) == len(graph.outputs) else ():
        if name not in taken and name not in graph.initializers:
            value.name = str(name)
