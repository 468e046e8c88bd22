"""A model for other engines: ONNX files and torch.export programs, each run beside PyTorch before it is kept."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram

from secateur import onnxfile
from secateur.errors import ExportError
from secateur.files import replacing
from secateur.inference import Predict, device_of, evaluating, moved
from secateur.programs import FAILURES, free_sizes, free_tokens, has_tokens, program_of, quiet, reason_of
from secateur.task import Arguments, rows_in, tensors_in
from secateur.tracing import Example, arguments_of_example

TOLERANCE = 1e-4  # of an output's largest value
_SHORT = 3  # tokens of a text that is not halved
_NOISE = 1e-7  # what float32 rounding makes where an output is nearly zero

Run = Callable[[Arguments], list[Tensor]]


def export_onnx(model: nn.Module, path: str | Path, example: Example) -> float:
    """Write an ONNX file with a free batch size; gives its largest absolute difference from PyTorch.

    Of models that take texts of any length, the number of tokens is free as well. The file is run with onnxruntime on
    the example, on another batch size and on other lengths before it is kept. Up to 2 GB it is one.

    Raises:
        ExportError: onnx is not installed, the model cannot be exported, or an output differs by more than 1e-4 of its
            largest value.
        FileError: the place cannot be written.
    """
    onnxfile.check_installed()
    both = _examples(model, example)
    with evaluating(model) as predict, replacing(path) as draft:
        program = program_of(model, both[1])
        dynamic = free_sizes(model, both[1], onnxfile.BATCH, onnxfile.TOKENS if free_tokens(program) else None)
        given = _with_other_lengths(both, program)
        wanted = [_output(predict, each) for each in given]
        onnxfile.write(program, draft, dynamic, wanted[1])
        return _largest_difference(onnxfile.runner(draft), given, wanted, path)


def export_program(model: nn.Module, path: str | Path, example: Example) -> float:
    """Write a torch.export program (`.pt2`) with a free batch size; gives its largest absolute difference from PyTorch.

    The number of tokens is free as it is in ONNX. The file is loaded and run on the example, on another batch size and
    on other lengths before it is kept.

    Raises:
        ExportError: the model cannot be exported, or an output differs by more than 1e-4 of its largest value.
        FileError: the place cannot be written.
    """
    both = _examples(model, example)
    with evaluating(model) as predict, replacing(path) as draft:
        program, written = program_of(model, both[1]), BytesIO()
        given = _with_other_lengths(both, program)
        wanted = [_output(predict, each) for each in given]
        with quiet():
            torch.export.save(program, written)
        draft.write_bytes(written.getbuffer())
        return _largest_difference(_program_runner(draft), given, wanted, path)


def _examples(model: nn.Module, example: Example) -> tuple[Arguments, Arguments]:
    """The example on the model's device, and its rows over again: a batch size that is not 0, 1 or the example's."""
    arguments: Arguments = pytree.tree_map(lambda value: moved(value, device_of(model)), arguments_of_example(example))
    batched = [tensor for tensor in tensors_in(arguments) if tensor.dim()]
    if not batched or not len(batched[0]):
        raise ExportError("the example holds no rows; give inputs with at least one row on their first axis.")
    rows = len(batched[0])

    def repeated(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() and len(value) == rows:
            return value[torch.arange(2 * rows + 1, device=value.device) % rows]
        return value

    more: Arguments = pytree.tree_map(repeated, arguments)
    return arguments, more


def _with_other_lengths(both: tuple[Arguments, ...], program: ExportedProgram) -> tuple[Arguments, ...]:
    """The examples, and where the number of tokens is free, the first one with another: half of it, or a few more."""
    if not free_tokens(program):
        return both
    length = next(tensor.shape[1] for tensor in tensors_in(both[0]) if has_tokens(tensor))
    other = length // 2 if length > _SHORT else length + _SHORT

    def resized(value: Any) -> Any:
        if isinstance(value, Tensor) and has_tokens(value) and value.shape[1] == length:
            return value[:, torch.arange(other, device=value.device) % length]
        return value

    return *both, pytree.tree_map(resized, both[0])


def _output(predict: Predict, given: Arguments) -> Any:
    try:
        return predict(given)
    except FAILURES as error:
        place = f"the model itself fails on {rows_in(given)} rows"
        raise ExportError(
            f"{place}: {reason_of(error)}; give an example that fits it, and let it take any batch."
        ) from error


def _program_runner(path: Path) -> Run:
    with quiet():
        program = torch.export.load(BytesIO(path.read_bytes())).module()

    def run(given: Arguments) -> list[Tensor]:
        try:
            return tensors_in(program(*given[0], **given[1]))
        except FAILURES as error:
            raise ExportError(f"{path.name}: the program does not run: {reason_of(error)}.") from error

    return run


def _largest_difference(run: Run, examples: tuple[Arguments, ...], wanted: list[Any], path: str | Path) -> float:
    return max(
        _difference(run(given), tensors_in(output), given, path) for given, output in zip(examples, wanted, strict=True)
    )


def _difference(found: list[Tensor], wanted: list[Tensor], given: Arguments, path: str | Path) -> float:
    """The largest absolute difference of all outputs.

    Raises:
        ExportError: their shapes differ, or their values by too much.
    """
    place = f"{path}: on {rows_in(given)} rows"
    shapes, wanted_shapes = ([list(tensor.shape) for tensor in tensors] for tensors in (found, wanted))
    if shapes != wanted_shapes:
        raise ExportError(
            f"{place} the exported model puts out shapes {shapes}, PyTorch {wanted_shapes}; nothing was kept. "
            "Take sizes from x.shape in forward, never from the example."
        )
    return max((_checked_distance(f.cpu(), w.cpu(), place) for f, w in zip(found, wanted, strict=True)), default=0.0)


def _checked_distance(found: Tensor, wanted: Tensor, place: str) -> float:
    """The largest absolute difference, where infinities and NaN equal themselves."""
    if not wanted.numel():
        return 0.0
    f, w = found.double(), wanted.double()
    apart = (f - w).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
    worst = float(torch.where((f == w) | (f.isnan() & w.isnan()), 0.0, apart).max())
    scale = float(w.nan_to_num(0.0, 0.0, 0.0).abs().max())
    rounding = 4 * torch.finfo(wanted.dtype).eps if wanted.is_floating_point() else 0.0  # counts in half precision
    if worst > max(TOLERANCE, rounding) * scale + _NOISE:
        raise ExportError(
            f"{place} the exported model differs from PyTorch by {worst:.1e}, where outputs reach {scale:.1e}; nothing "
            "was kept. Does forward do what depends on chance or on the batch size?"
        )
    return worst
