"""torch.export programs with a free batch size."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from secateur.errors import ExportError
from secateur.task import Arguments

# what torch.export raises for a forward that it cannot follow, and a program for arguments that it cannot take
FAILURES = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError)
_TALKATIVE = ("torch.onnx", "torch.export", "torch._export", "torch.fx", "onnxscript", "onnx_ir", "transformers")


def program_of(model: nn.Module, arguments: Arguments) -> ExportedProgram:
    """What the model computes as a program; its batch size is free, as long as `arguments` have more than one row.

    Raises:
        ExportError: torch.export cannot follow the model's forward.
    """
    shapes = free_batch(model, arguments, Dim.AUTO)
    try:
        with quiet():
            return torch.export.export(model, *arguments, dynamic_shapes=shapes, strict=False)
    except FAILURES as error:
        remedy = "take decisions that depend on the data's values or on the batch size out of forward."
        raise ExportError(
            f"{type(model).__name__}: torch.export cannot follow it: {reason_of(error)}; {remedy}"
        ) from error


def free_batch(model: nn.Module, arguments: Arguments, size: Any) -> Any:
    """`size` for the first axis of every input with as many rows as the first, in the form that exporters ask for."""
    batched = [tensor for tensor in tensors_in(arguments) if tensor.dim()]
    shapes = ShapesCollection()
    for tensor in batched:
        if len(tensor) == len(batched[0]):
            shapes[tensor] = {0: Dim.AUTO}
    named = shapes.dynamic_shapes(model, *arguments)
    return pytree.tree_map(lambda found: found if found is None else size, named)


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    return [value for value in pytree.tree_leaves(values) if isinstance(value, Tensor)]


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
    return lines[0].rstrip(".")[:300] if lines else type(error).__name__
