"""A network with units silenced without the library: entries of its weights set to zero, norms over what is left.

A unit whose weights are zero on both sides (the rows that make it, the columns that read it) cannot matter, unless a
norm counts it in its statistics: such norms are replaced by ones that leave it out.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Masks = Mapping[str, Tensor]  # for every parameter that loses entries: True where they go

_RMS = ("RmsNorm", "RMSNorm", "T5LayerNorm", "RmsNorm2d")
_CHANNELS_FIRST = ("LayerNorm2d", "LayerNorm2dNoBias", "LayerNormAct2d", "RmsNorm2d", "LayerNormFp322d")


class UnknownNormError(Exception):
    """A norm over units that this file does not know."""


@torch.no_grad()
def silenced(model: nn.Module, masks: Masks) -> nn.Module:
    """A copy of a model in which masked entries are silent.

    Raises:
        UnknownNormError: a norm over units is of an unknown class.
    """
    silent = copy.deepcopy(model)
    tensors = dict(silent.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        if name in tensors:  # a batch norm's statistics play no part: what they act on is not read
            tensors[name][mask] = 0.0
    for name, module in list(silent.named_modules()):
        mask = masks.get(f"{name}.weight")
        if mask is not None and mask.dim() == 1 and _is_norm_over_units(module):
            parent, _, child = name.rpartition(".")
            setattr(silent.get_submodule(parent), child, NormOfRest(module, ~mask))
    return silent


def _is_norm_over_units(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return False
    if isinstance(module, nn.LayerNorm | nn.GroupNorm) or type(module).__name__ in _RMS:
        return True
    if "norm" in type(module).__name__.lower():
        raise UnknownNormError(type(module).__name__)
    return False


@dataclass(frozen=True)
class _Kept:
    entries: Tensor
    axis: int


class NormOfRest(nn.Module):
    """A norm whose statistics run over the kept entries alone; the others come out as zero."""

    def __init__(self, norm: nn.Module, stays: Tensor):
        super().__init__()
        self.norm = norm
        first = type(norm).__name__ in _CHANNELS_FIRST or getattr(norm, "data_format", "") == "channels_first"
        self.kept = _Kept(stays.nonzero().flatten(), 1 if first or isinstance(norm, nn.GroupNorm) else -1)

    def forward(self, x: Tensor) -> Tensor:
        moved = x.movedim(self.kept.axis, -1)
        rest = moved[..., self.kept.entries]
        out = torch.zeros_like(moved)
        out[..., self.kept.entries] = self._normalised(rest)
        acted: Tensor = getattr(self.norm, "act", nn.Identity())(out.movedim(-1, self.kept.axis))
        return acted

    def _normalised(self, rest: Tensor) -> Tensor:
        norm, entries = self.norm, self.kept.entries
        weight = norm.weight[entries]
        bias = norm.bias[entries] if getattr(norm, "bias", None) is not None else None
        if isinstance(norm, nn.LayerNorm) and type(norm).__name__ not in _RMS:
            return F.layer_norm(rest, (len(entries),), weight, bias, norm.eps)
        if isinstance(norm, nn.GroupNorm):
            return F.group_norm(rest.movedim(-1, 1), norm.num_groups, weight, bias, norm.eps).movedim(1, -1)
        eps = getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 1e-6
        return weight * rest * torch.rsqrt(rest.square().mean(-1, keepdim=True) + eps)
