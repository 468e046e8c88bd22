"""torch.export programs with a free batch size, and a free number of tokens where texts come in."""

import linecache
import logging
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx import Node

from secateur import einsums
from secateur.errors import ExportError, ModelError
from secateur.task import Arguments, tensors_in

# what torch.export raises for a forward that it cannot follow, and a program for arguments that it cannot take
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError)
NO_VALUES = (
    "decide there without the data's values: torch.where in place of an if, a fixed number of steps for a loop, "
    "no .item(), .tolist(), .numpy() or assert."
)
_OURS = str(Path(__file__).resolve().parent)
_TORCH = Path(torch.__file__).resolve().parent
_NOT_THEIRS = (_OURS, str(_TORCH), *(str(_TORCH.parent / name) for name in ("sympy", "jaxtyping", "beartype")))
_STANDARD = str(Path(sysconfig.get_path("stdlib")).resolve())
_TALKATIVE = ("torch.onnx", "torch.export", "torch._export", "torch.fx", "onnxscript", "onnx_ir", "transformers")


def program_of(model: nn.Module, arguments: Arguments) -> ExportedProgram:
    """What the model computes as a program; its batch size is free, as long as `arguments` have more than one row.

    So is the number of tokens, where inputs hold them and the model takes any number.

    Raises:
        ExportError: torch.export cannot follow the model's forward.
    """
    program = _exported(model, arguments, Dim.AUTO)
    has_any = any(has_tokens(tensor) for tensor in tensors_in(arguments))
    return _exported(model, arguments, None) if has_any and not free_tokens(program) else program


def _exported(model: nn.Module, arguments: Arguments, tokens: Any) -> ExportedProgram:
    shapes = free_sizes(model, arguments, Dim.AUTO, tokens)
    try:
        with quiet():
            return torch.export.export(model, *arguments, dynamic_shapes=shapes, strict=False)
    except FAILURES as error:
        remedy = f"keep the batch size free, and {NO_VALUES}"
        found = f"{reason_of(error)}{in_code(error)}"
        raise ExportError(f"{type(model).__name__}: torch.export cannot follow it: {found}; {remedy}") from error


def free_sizes(model: nn.Module, arguments: Arguments, batch: Any, tokens: Any) -> Any:
    """`batch` for the first axis of every input with as many rows as the first, `tokens` for the second where it has
    tokens (None: those stay as they are), in the form that exporters ask for.
    """
    batched = [tensor for tensor in tensors_in(arguments) if tensor.dim()]
    shapes = ShapesCollection()
    for tensor in batched:
        if len(tensor) == len(batched[0]):
            shapes[tensor] = {0: batch, 1: tokens} if tokens is not None and has_tokens(tensor) else {0: batch}
    return shapes.dynamic_shapes(model, *arguments)


def has_tokens(value: Tensor) -> bool:
    """Whether an input may hold tokens: whole numbers or a mask, row by row."""
    return value.dim() > 1 and not (value.is_floating_point() or value.is_complex())


def free_tokens(program: ExportedProgram) -> bool:
    """Whether a program takes any number of tokens."""
    names = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    sizes: list[Any] = [value.shape[1] for value in values if isinstance(value, Tensor) and has_tokens(value)]
    return bool(sizes) and all(isinstance(size, torch.SymInt) and size.node.expr.free_symbols for size in sizes)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what exporters and transformers print, warn and log off the screen."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Keeps nn.MultiheadAttention and its like from hiding in one operator, as they do in eval mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def reason_of(error: BaseException) -> str:
    """The first line of the error that began it all."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()
    return lines[0].partition(" (unhinted")[0].rstrip(".")[:300] if lines else type(error).__name__


def in_code(error: BaseException) -> str:
    """Where in the model's own code an error came up, as `, at FILE:LINE (code)`; nothing if it did not."""
    chain: BaseException | None = error
    while chain is not None:
        for frame in reversed(traceback.extract_tb(chain.__traceback__)):
            if _is_ours(frame.filename):
                break  # what comes before has called us
            if _is_theirs(frame.filename):
                return _at(frame.filename, frame.lineno or 0)
        chain = chain.__cause__ or chain.__context__
    return ""


def check_sizes(model: nn.Module, nodes: Iterable[Node]) -> None:
    """Refuse a forward in which a tensor's size follows from the data's values.

    Raises:
        ModelError: names the line.
    """
    for node in nodes:
        value = node.meta.get("val")
        sizes: tuple[Any, ...] = tuple(value.shape) if isinstance(value, Tensor) else ()
        if any(isinstance(size, torch.SymInt) and not size.node.has_hint() for size in sizes):
            lines = re.findall(r'File "(.+)", line (\d+)', node.meta.get("stack_trace") or "")
            where = next((_at(file, int(line)) for file, line in reversed(lines) if _is_theirs(file)), "")
            raise ModelError(
                f"{type(model).__name__}: the data's values decide how large a tensor is{where}; keep its size, and "
                "put zeros in place of what is left out (torch.where)."
            )


def _is_ours(file: str) -> bool:
    """Whether a file is ours, other than what the model's own code calls while it is traced."""
    place = str(Path(file).resolve())
    return place.startswith(_OURS) and place != str(Path(einsums.__file__).resolve())


def _is_theirs(file: str) -> bool:
    """Whether a file is the model's own code: none of torch's, Python's or ours, none that was written at run time."""
    place = str(Path(file).resolve())
    is_standard = place.startswith(_STANDARD) and "-packages" not in place
    return not file.startswith("<") and not is_standard and not place.startswith(_NOT_THEIRS)


def _at(file: str, line: int) -> str:
    code = linecache.getline(file, line).strip()
    return f", at {file}:{line}" + (f" ({code})" if code else "")
