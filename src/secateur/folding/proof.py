"""A folded network beside the one it came from, output for output."""

from collections.abc import Callable

import torch
from torch import nn

from secateur.errors import ExactnessError, first_line
from secateur.inference import evaluating
from secateur.programs import FAILURES
from secateur.surgery import COARSE_TOLERANCE, TOLERANCE, differences, doubled, largest
from secateur.task import Arguments, tensors_in
from secateur.width import copied

_INTO = "name those that may be merged (fold(…, into=[…]))"
_CALLS = f"its forward does more with the merged layers than call them: {_INTO}"

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
    difference, _ = _difference(folded, exact, doubled(arguments))
    if not difference <= TOLERANCE[torch.float64]:
        raise ExactnessError(
            f"{type(model).__name__}: the folded network differs from the original by {difference:.1e} of the largest "
            f"output (tolerance {TOLERANCE[torch.float64]:.0e}); {_CALLS}."
        )


def _difference(folded: nn.Module, model: nn.Module, arguments: Arguments) -> tuple[float, torch.dtype]:
    """The largest difference between two networks' outputs, as a share of the largest output, and the outputs' type."""
    network = f"{type(model).__name__}: the folded network"
    with evaluating(model) as original, evaluating(folded) as predict:
        wanted = tensors_in(original(arguments))
        try:
            found = tensors_in(predict(arguments))
        except FAILURES as error:
            raise ExactnessError(f"{network} does not run: {first_line(error)}; {_CALLS}.") from error
    apart = largest(differences(found, wanted, network, f"its forward reads sizes of the merged layers: {_INTO}"))
    scale = largest([w[w.isfinite()] for w in wanted])
    return apart / scale if scale > 0 else apart, wanted[0].dtype
