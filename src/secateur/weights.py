"""The weights that make each unit, those that read it, and those that lead to an activation."""

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur.inference import device_of
from secateur.sites import Activation, Site, TensorAxis


def making(model: nn.Module, site: Site) -> Float64[Tensor, "units entries"]:
    """Each unit's incoming weights, biases left out."""
    return along(model, site, site.made_by)


def reading(model: nn.Module, site: Site) -> Float64[Tensor, "units entries"]:
    """Each unit's outgoing weights; a one for each where nothing but a sum reads them."""
    if not site.read_by:
        return torch.ones(site.units, 1, dtype=torch.float64, device=device_of(model))
    return along(model, site, site.read_by)


def leading(model: nn.Module, activation: Activation) -> Float64[Tensor, " entries"]:
    """All entries of the weights of the layers whose outputs an activation reads, through norms and sums alone."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    return torch.cat([tensors[name].detach().double().flatten() for name in activation.before])


def along(model: nn.Module, site: Site, axes: tuple[TensorAxis, ...]) -> Float64[Tensor, "units entries"]:
    """What each unit owns of some tensors, side by side."""
    tensors = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    pieces = []
    for axis in axes:
        tensor = tensors[axis.tensor].detach().double().movedim(axis.axis, 0)
        index = torch.tensor(axis.positions, dtype=torch.long, device=tensor.device)
        pieces.append(tensor.index_select(0, index).reshape(site.units, -1))
    return torch.cat(pieces, 1)
