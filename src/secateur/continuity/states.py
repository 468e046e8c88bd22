"""What an optimizer remembers of a parameter, cut as the parameter was; what cannot be followed is refused."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adafactor, Optimizer

from secateur.continuity.heirs import Heir
from secateur.errors import OptimizerError
from secateur.plan import Cut

NEW_ONE = "make a new optimizer over small.parameters(), which starts without memory."

# Optimizers of torch whose tensors have one value per entry of the parameter; Muon came with torch 2.9.
_PER_ENTRY = frozenset(
    vars(torch.optim).get(name)
    for name in (
        *("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Muon"),
        *("NAdam", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam"),
    )
)
_FACTORS = ("row_var", "col_var")


def inherited(optimizer: Optimizer, heirs: Mapping[Tensor, Heir]) -> dict[Tensor, dict[str, Any]]:
    """The state of every parameter that stays, cut as it was; a parameter that was not cut keeps all of it.

    Raises:
        OptimizerError: it is not known what a state stands for after the cut.
    """
    states: dict[Tensor, dict[str, Any]] = {}
    for parameter, state in optimizer.state.items():
        if parameter not in heirs:
            kind = type(optimizer).__name__
            raise OptimizerError(f"{kind}: it holds state that belongs to no parameter of the model; {NEW_ONE}")
        heir = heirs[parameter]
        if heir.parameter is not None and state:
            states[heir.parameter] = _inherited(optimizer, parameter, heir)
    return states


def _inherited(optimizer: Optimizer, parameter: Tensor, heir: Heir) -> dict[str, Any]:
    state = optimizer.state[parameter]
    if not heir.cuts:
        return {key: _copied(value) for key, value in state.items()}
    factors = _cut_factors(state, heir.cuts) if type(optimizer) is Adafactor and parameter.dim() > 1 else {}
    others = {key: value for key, value in state.items() if key not in factors}
    for key, value in others.items():
        _check(optimizer, key, value, parameter, heir.name)
    return {key: _cut(value, heir.cuts, parameter.shape) for key, value in others.items()} | factors


def _check(optimizer: Optimizer, key: str, value: Any, parameter: Tensor, name: str) -> None:
    """Refuse a state that is neither one number nor surely one value per entry of the parameter."""
    if isinstance(value, int | float | str | None) or (isinstance(value, Tensor) and value.numel() == 1):
        return
    if not isinstance(value, Tensor):
        found = f"is of type {type(value).__name__}: neither one number nor one per weight"
    elif value.shape != parameter.shape:
        found = f"has shape {tuple(value.shape)}, the parameter {tuple(parameter.shape)}"
    elif not _is_per_entry(optimizer, key, parameter):
        found = (
            f"has the shape {tuple(value.shape)} of a square weight: one number per weight, or one per pair of rows?"
        )
    else:
        return
    raise OptimizerError(
        f"{name}: {type(optimizer).__name__}'s state {key!r} {found}; how to cut it is not known; {NEW_ONE}"
    )


def _is_per_entry(optimizer: Optimizer, key: str, parameter: Tensor) -> bool:
    """Whether a state of the parameter's shape has one value per entry, rather than that shape by chance.

    A preconditioner [rows, rows] has the shape of a weight that is square. A weight that is not tells the two apart.
    """
    if type(optimizer) in _PER_ENTRY or not _is_square(parameter):
        return True
    shapes = [
        (p.shape, s[key].shape) for p, s in optimizer.state.items() if isinstance(s.get(key), Tensor) and p.dim() == 2
    ]
    return any(shape[0] != shape[1] for shape, _ in shapes) and all(shape == found for shape, found in shapes)


def _is_square(parameter: Tensor) -> bool:
    return parameter.dim() == 2 and parameter.shape[0] == parameter.shape[1]


def _cut(value: Any, cuts: Iterable[Cut], shape: torch.Size) -> Any:
    """A state after the cuts: shorter if it has the parameter's shape, copied if it is one number."""
    if not isinstance(value, Tensor) or value.shape != shape:
        return _copied(value)
    for cut in cuts:
        value = _shorter(value, cut)
    return value.detach().clone()


def _cut_factors(state: Mapping[str, Any], cuts: Iterable[Cut]) -> dict[str, Any]:
    """Adafactor's row and column means [..., rows, 1] and [..., 1, columns] of the squared gradients, after the cuts.

    The estimate for one weight is row · column / mean of the rows. These are the means of that estimate over the
    weights that stay, and their own estimate for each of these is therefore the one from before.
    """
    row, column = (state[name].detach() for name in _FACTORS)
    mean = row.mean(-2, keepdim=True)
    shortened: set[int] = set()
    for cut in cuts:
        axis = cut.axis - row.dim()
        shortened.add(axis)
        row = row if axis == -1 else _shorter(row, cut)
        column = column if axis == -2 else _shorter(column, cut)
        mean = mean if axis in (-1, -2) else _shorter(mean, cut)
    by_column, by_row = column.mean(-1, keepdim=True) / mean, row.mean(-2, keepdim=True) / mean
    # Where nothing was ever seen, or nothing stays, zero by zero means: no change.
    row = row * by_column.nan_to_num(1.0) if -1 in shortened else row.clone()
    column = column * by_row.nan_to_num(1.0) if -2 in shortened else column.clone()
    return dict(zip(_FACTORS, (row, column), strict=True))


def _shorter(tensor: Tensor, cut: Cut) -> Tensor:
    gone = set(cut.removed)
    kept = [entry for entry in range(cut.length) if entry not in gone]
    return tensor.index_select(cut.axis, torch.tensor(kept, dtype=torch.long, device=tensor.device))


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
