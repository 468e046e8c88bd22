"""The proof of a cut that knows nothing of sites: the small network's tensors, written back into the original.

A unit that is gone has zeros in all its rows, columns, biases and statistics: it then gives nothing that is read, so
the original with these zeros must compute what the small network does. Norms and means alone would still count it; they
are told to leave it out (`fuzz.counting`). Only the plan's cuts are used.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from fuzz.counting import MismatchError, Stays, without_the_gone, witnessed
from secateur.plan import Plan

TOLERANCE = 1e-8


def assert_cut(model: nn.Module, small: nn.Module, plan: Plan, x: Tensor) -> None:
    """Fail unless the small network holds the kept entries, and computes and learns what the padded original does."""
    assert_kept_entries(model, small, plan)
    whole = copy.deepcopy(model)
    stays = zeroed_(whole, plan)
    with witnessed() as witness:
        found = answers(small, x)
    with without_the_gone(stays, witness):
        wanted = answers(whole, x)
    wanted_gradients = gradients(whole, wanted)
    assert_close("output", dict(enumerate(found)), dict(enumerate(wanted)))
    assert_close("gradient", gradients(small, found), kept_of(whole, plan, wanted_gradients))


def assert_kept_entries(model: nn.Module, small: nn.Module, plan: Plan) -> None:
    """Fail unless every tensor of the small network is the original's, without what the plan removes, bit for bit."""
    if plan.biased:
        raise MismatchError(f"{plan.biased}: a cut alone adds no biases")
    found, gone = tensors(small), [f"{name}." for name in plan.emptied]
    for name, tensor in kept_of(model, plan, tensors(model)).items():
        if any(name.startswith(prefix) for prefix in gone):
            continue
        if name not in found:
            raise MismatchError(f"{name}: the small network has no such tensor")
        if found[name].shape != tensor.shape or not torch.equal(found[name], tensor):
            raise MismatchError(
                f"{name}: {tuple(found[name].shape)} does not hold the kept entries {tuple(tensor.shape)}"
            )
    if more := found.keys() - tensors(model).keys():
        raise MismatchError(f"the small network has more tensors than the original: {sorted(more)}")


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, tied ones under each name."""
    named = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return dict(named)


def answers(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The tensors in what a model puts out."""
    return [leaf for leaf in pytree.tree_leaves(model(x)) if isinstance(leaf, Tensor)]


def gradients(model: nn.Module, outputs: list[Tensor]) -> dict[str, Tensor]:
    """The gradient of one fixed random sum of the outputs, by name; zero where nothing depends on a parameter."""
    generator = torch.Generator().manual_seed(5)
    loss = sum((out * torch.randn(out.shape, generator=generator, dtype=out.dtype)).sum() for out in outputs)
    named = {name: tensor for name, tensor in tensors(model).items() if tensor.requires_grad}
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    pairs = zip(named.items(), found, strict=True)
    return {name: torch.zeros_like(tensor) if grad is None else grad for (name, tensor), grad in pairs}


def largest(values: Mapping[Any, Tensor]) -> float:
    """The largest absolute entry."""
    return max((float(value.detach().abs().max()) for value in values.values() if value.numel()), default=0.0)


def assert_close(what: str, found: Mapping[Any, Tensor], wanted: Mapping[Any, Tensor]) -> None:
    """Fail unless all values agree within rounding of the largest."""
    scale = largest(wanted) or 1.0
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise MismatchError(f"{what} {name}: {tuple(value.shape)} instead of {tuple(wanted[name].shape)}")
        difference = float((value - wanted[name]).detach().abs().max()) / scale if value.numel() else 0.0
        if not difference <= TOLERANCE:
            raise MismatchError(f"{what} {name}: differs by {difference:.1e} of the largest")


def kept_of(model: nn.Module, plan: Plan, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values shaped as a model's tensors, without the entries that the plan removes."""
    named = tensors(model)
    kept = {name: value.detach() for name, value in values.items()}
    for cut in plan.cuts:
        stays = torch.tensor([entry for entry in range(cut.length) if entry not in set(cut.removed)], dtype=torch.long)
        tied = [name for name in kept if named[name] is named[cut.tensor]]
        kept |= {name: kept[name].index_select(cut.axis, stays) for name in tied}
    return kept


@torch.no_grad()
def zeroed_(whole: nn.Module, plan: Plan) -> Stays:
    """Zero in place what the plan removes; says what stays of each tensor."""
    named = tensors(whole)
    stays: Stays = {}
    for cut in plan.cuts:
        tensor, gone = named[cut.tensor], torch.tensor(cut.removed, dtype=torch.long)
        tensor.index_fill_(cut.axis, gone, 0)
        mask = stays.setdefault(id(tensor), torch.ones(tensor.shape, dtype=torch.float64))
        mask.index_fill_(cut.axis, gone, 0.0)
    return stays
