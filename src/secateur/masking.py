"""Zeros in the weights that lead to activations: most where layers are nearly linear already."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur.errors import ModelError, SettingsError
from secateur.scores import Scores
from secateur.sites import Activation, Sites
from secateur.width import copied

_OUTPUTS_FIRST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_OUTPUTS_SECOND = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Entropies = Mapping[str, Float64[Tensor, "..."]]


@dataclass(frozen=True)
class Rows:
    """A weight whose slices along an axis lead, one each, to the units of an activation."""

    tensor: str
    axis: int

    def of(self, model: nn.Module) -> Tensor:
        """The slices themselves, first; changing them changes the weight."""
        return model.get_parameter(self.tensor).detach().movedim(self.axis, 0)


def mask(model: nn.Module, sites: Sites, scores: Scores, zeta: float) -> nn.Module:
    """A copy in which a share zeta of the weights that lead to activations, and are not zero yet, is zero.

    The scores hold the entropy of every unit, by activation. How many weights each activation's layers give is
    `allotted`; they are those of the smallest magnitude among the units whose entropy is not 0.

    Raises:
        SettingsError: zeta is not a share.
        ModelError: the scores are not of this model's units, or a weight's rows cannot be told apart.
    """
    if not 0.0 <= zeta <= 1.0:
        raise SettingsError(f"zeta is {zeta!r}; it must be a share from 0 to 1.")
    masked = copied(model)
    rows = rows_of(masked, sites)
    ratios = importances(masked, sites, scores.values)
    layers = [_Layer(masked, rows[each.name], scores.values[each.name]) for each in sites.activations]
    numbers = allotted(ratios, [layer.room for layer in layers], round(zeta * sum(layer.left for layer in layers)))
    for layer, number in zip(layers, numbers, strict=True):
        layer.prune_(number)
    return masked


def importances(model: nn.Module, sites: Sites, entropies: Entropies) -> list[float]:
    r"""Of every activation, $I_l$: the mean of $H_i \cdot \operatorname{mean}_j |w_{ij}|$ over units with $H_i > 0$.

    The mean over $j$ is over weights that are not zero; it is 0 for a unit without any. 0 where all entropies are 0.

    Raises:
        ModelError: the entropies are not of this model's units, or a weight's rows cannot be told apart.
    """
    rows = rows_of(model, sites)
    found = []
    for each in sites.activations:
        entropy = entropies.get(each.name)
        if entropy is None or len(entropy) != each.units:
            count = "no entropies" if entropy is None else f"{len(entropy)} entropies"
            raise ModelError(f"{each.name}: {count} for {each.units} units; measure them on this model.")
        lively = entropy > 0
        weighed = entropy * _mean_magnitudes([part.of(model) for part in rows[each.name]])
        found.append(float(weighed[lively].mean()) if bool(lively.any()) else 0.0)
    return found


def allotted(importances: Sequence[float], room: Sequence[int], budget: int) -> list[int]:
    r"""How many weights each layer gives, of so many in all.

    The shares are the softmax of $R_l = \sum_k I_k / I_l$, and $R_l = 0$ where $I_l$ is. A layer that has no room for
    its share gives all it has; the rest is shared out among the others, until all fit.
    """
    total = sum(importances)
    ratios = [min(total / importance, 1e300) if importance > 0 else 0.0 for importance in importances]
    given = [0] * len(room)
    while waiting := [layer for layer, most in enumerate(room) if given[layer] < most]:
        wanted = dict(zip(waiting, _shared(budget, [ratios[layer] for layer in waiting]), strict=True))
        full = [layer for layer in waiting if wanted[layer] >= room[layer]]
        if not full:
            for layer, number in zip(waiting, _whole(list(wanted.values()), budget), strict=True):
                given[layer] = number
            return given
        for layer in full:
            given[layer] = min(room[layer], budget)
            budget -= given[layer]
    return given


def rows_of(model: nn.Module, sites: Sites) -> dict[str, tuple[Rows, ...]]:
    """For every activation, by name, the weights that lead to it; each weight counts for the first that it leads to.

    Where all of an activation's count for earlier ones, it shares them.

    Raises:
        ModelError: none of an activation's weights has a row for each of its units.
    """
    taken: set[str] = set()
    found = {}
    for each in sites.activations:
        fitting = [rows for tensor in each.before if (rows := _rows(model, tensor, each)) is not None]
        own = [rows for rows in fitting if rows.tensor not in taken] or fitting
        if not own:
            raise ModelError(
                f"{each.name}: none of {', '.join(each.before)} has a row for each of its {each.units} units; score "
                "with a method that does not look at weights, such as easier."
            )
        taken.update(rows.tensor for rows in own)
        found[each.name] = tuple(own)
    return found


def _rows(model: nn.Module, tensor: str, activation: Activation) -> Rows | None:
    """A weight with the axis of its outputs, where these are the activation's units."""
    shape = model.get_parameter(tensor).shape
    fitting = [axis for axis in (0, 1) if axis < len(shape) and shape[axis] == activation.units]
    owner = model.get_submodule(tensor.rpartition(".")[0])
    if isinstance(owner, _OUTPUTS_FIRST):
        fitting = [axis for axis in fitting if axis == 0]
    elif isinstance(owner, _OUTPUTS_SECOND) or type(owner).__name__ == "Conv1D":  # transformers' [inputs, outputs]
        fitting = [axis for axis in fitting if axis == 1]
    return Rows(tensor, fitting[0]) if len(fitting) == 1 else None


@dataclass(frozen=True)
class _Layer:
    """The weights that lead to an activation, and the entropy of each of its units."""

    model: nn.Module
    rows: tuple[Rows, ...]
    entropy: Float64[Tensor, " units"]

    @property
    def left(self) -> int:
        """How many of the weights are not zero."""
        return sum(int(rows.of(self.model).count_nonzero()) for rows in self.rows)

    @property
    def room(self) -> int:
        """How many of them lead to units whose entropy is not 0."""
        return sum(int(rows.of(self.model)[self.entropy > 0].count_nonzero()) for rows in self.rows)

    def prune_(self, number: int) -> None:
        """Make so many of these zero, in place, the smallest first."""
        lively = self.entropy > 0
        parts = [rows.of(self.model) for rows in self.rows]
        sizes = [torch.where(_beside(lively, part), part.abs().double(), 0.0).flatten() for part in parts]
        size = torch.cat(sizes)
        order = torch.where(size > 0, size, math.inf).sort(stable=True).indices
        gone = torch.zeros_like(size, dtype=torch.bool)
        gone[order[:number]] = True
        for part, places in zip(parts, gone.split([len(each) for each in sizes]), strict=True):
            part.masked_fill_(places.reshape(part.shape), 0.0)


def _mean_magnitudes(parts: Sequence[Tensor]) -> Float64[Tensor, " units"]:
    """Of every unit, the mean of the absolute values of its weights that are not zero."""
    rows = torch.cat([part.double().flatten(1) if part.dim() > 1 else part.double()[:, None] for part in parts], 1)
    return rows.abs().sum(1) / rows.count_nonzero(1).clamp(min=1)


def _beside(units: Tensor, part: Tensor) -> Tensor:
    return units.to(part.device).reshape(-1, *[1] * (part.dim() - 1))


def _shared(budget: int, ratios: Sequence[float]) -> list[float]:
    """A budget by the softmax of some ratios."""
    powers = [math.exp(ratio - max(ratios)) for ratio in ratios]
    return [budget * power / sum(powers) for power in powers]


def _whole(numbers: Sequence[float], total: int) -> list[int]:
    """Numbers rounded to whole ones of the same sum: the largest fractions up, of equal ones the first."""
    floors = [math.floor(number) for number in numbers]
    order = sorted(range(len(numbers)), key=lambda place: floors[place] - numbers[place])
    for place in order[: total - sum(floors)]:
        floors[place] += 1
    return floors
