"""A folded network beside the one it came from, output for output."""

from collections.abc import Callable
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from secateur.errors import ExactnessError, first_line
from secateur.graph import tensors_in
from secateur.inference import evaluating
from secateur.programs import FAILURES
from secateur.surgery import COARSE_TOLERANCE, TOLERANCE
from secateur.task import Arguments
from secateur.width import copied

Change = Callable[[nn.Module], object]


def check_equal(folded: nn.Module, model: nn.Module, arguments: Arguments, change_: Change) -> None:
    """Refuse a folded network whose outputs are not the original's, up to rounding.

    Where the networks' own precision shows a difference, both are compared in float64: `change_` folds a network.

    Raises:
        ExactnessError: they differ by more than 1e-5 (float32) or 1e-10 (float64) of the largest output.
    """
    difference, dtype = _difference(folded, model, arguments)
    if difference <= TOLERANCE.get(dtype, COARSE_TOLERANCE):
        return
    exact = copied(model).double()
    folded = copied(exact)
    change_(folded)
    difference, _ = _difference(folded, exact, pytree.tree_map(_double, arguments))
    if not difference <= TOLERANCE[torch.float64]:
        raise ExactnessError(
            f"{type(model).__name__}: the folded network differs from the original by {difference:.1e} of the largest "
            f"output (tolerance {TOLERANCE[torch.float64]:.0e}); its forward does more with the merged layers than "
            "call them: name those that may be merged (fold(…, into=[…]))."
        )


def _difference(folded: nn.Module, model: nn.Module, arguments: Arguments) -> tuple[float, torch.dtype]:
    """The largest difference between two networks' outputs, as a share of the largest output, and the outputs' type."""
    with evaluating(model) as original, evaluating(folded) as predict:
        wanted = tensors_in(original(arguments))
        try:
            found = tensors_in(predict(arguments))
        except FAILURES as error:
            raise ExactnessError(
                f"{type(model).__name__}: the folded network does not run: {first_line(error)}; its forward does more "
                "with the merged layers than call them: name those that may be merged (fold(…, into=[…]))."
            ) from error
    shapes = [[list(tensor.shape) for tensor in tensors] for tensors in (found, wanted)]
    if shapes[0] != shapes[1]:
        raise ExactnessError(
            f"{type(model).__name__}: the folded network puts out {shapes[0]}, the original {shapes[1]}; its forward "
            "reads sizes of the merged layers: name those that may be merged (fold(…, into=[…]))."
        )
    apart = max((_largest(torch.where(f == w, 0.0, f.double() - w)) for f, w in zip(found, wanted, strict=True)))
    scale = max(_largest(w[w.isfinite()]) for w in wanted)
    return apart / scale if scale > 0 else apart, wanted[0].dtype


def _largest(values: Tensor) -> float:
    return float(values.double().abs().max()) if values.numel() else 0.0


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
