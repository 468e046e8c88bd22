"""Units that do nothing, cut: those that give zero, that nobody weighs, and all but one of those that never vary.

What the others give is that number times what the one gives, so its readers can weigh it for all of them: exact, with
padding too, since their maps end where its map ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur.budget import plan_of
from secateur.errors import ModelError
from secateur.folding.constants import Constants, constants_in
from secateur.folding.proof import check_equal
from secateur.graph import Traced
from secateur.plan import Plan
from secateur.sites import Read, Site
from secateur.tracing import Example, arguments_of_example, sites_in, trace
from secateur.width import copied, cut_, tensors_of


@dataclass(frozen=True)
class _Idle:
    """The units of a site that can go, the one that stands for some of them (-1: none), and by what factors."""

    site: Site
    gone: tuple[int, ...]
    heir: int
    factors: Mapping[str, Constants]  # of each reader's weight: every unit's number, in those of the heir


def without_idle(model: nn.Module, example: Example) -> tuple[nn.Module, Plan]:
    """A copy of a model without units that do nothing, and the plan of the cuts; exact.

    Those go that give zero whatever comes in, or that nobody weighs; of those that give another constant one stays and
    stands for all. Every site keeps a unit, unless a path leads around it.

    Raises:
        ModelError: the model cannot be traced.
        ExactnessError: the new network computes something else.
    """
    traced = trace(model, example)
    idle = _idle_in(traced)
    small = copied(model)
    if not idle:
        return small, Plan(method="idle")
    plan = plan_of(sites_in(traced), {one.site.name: one.gone for one in idle}, "idle")

    def change_(net: nn.Module) -> None:
        for one in idle:
            _hand_over_(net, one)
        cut_(net, plan)

    change_(small)
    check_equal(small, model, arguments_of_example(example), change_)
    return small, plan


def _idle_in(traced: Traced) -> list[_Idle]:
    constants = constants_in(traced)
    try:
        sites = sites_in(traced)
    except ModelError:  # nothing at all can be removed
        return []
    nodes = {node.name: node for node in traced.nodes}
    tensors = tensors_of(traced.model)
    found = []
    for site in sites:
        if site.blocks == 1 and not site.twins and not site.normalised_by and not site.sized:
            one = _of_site(site, nodes, constants, tensors)
            found += [one] if one is not None and one.gone else []
    return found


def _of_site(
    site: Site, nodes: Mapping[str, Node], constants: Mapping[Node, Constants], tensors: Mapping[str, Tensor]
) -> _Idle | None:
    """The units of a site whose readers all read numbers that are known, or weigh them with zero."""
    if not site.reads:
        return None
    numbers = torch.stack([_numbers(site, read, nodes, constants, tensors) for read in site.reads])
    is_zero, is_known = (numbers == 0).all(0), ~numbers.isnan().any(0)
    heirs = (is_known & (numbers != 0).all(0)).nonzero().flatten().tolist()
    readers = {read.weight or "": values for read, values in zip(site.reads, numbers, strict=True)}
    can_inherit = bool(heirs) and len(readers) == len(site.reads) and _are_columns(site, readers, tensors)
    gone = is_known if can_inherit else is_zero
    units = [unit for unit in gone.nonzero().flatten().tolist() if not (can_inherit and unit == heirs[0])]
    if len(units) == site.units and not site.droppable:
        units = units[1:]
    if not can_inherit:
        return _Idle(site, tuple(units), -1, {})
    return _Idle(site, tuple(units), heirs[0], {name: each / each[heirs[0]] for name, each in readers.items()})


def _numbers(
    site: Site,
    read: Read,
    nodes: Mapping[str, Node],
    constants: Mapping[Node, Constants],
    tensors: Mapping[str, Tensor],
) -> Constants:
    """What a reader reads of every unit, NaN where that varies; zero, whatever it is, where it weighs it with zero."""
    source = nodes[read.node].args[read.operand]
    numbers = torch.full((site.units,), torch.nan, dtype=torch.float64)
    if isinstance(source, Node) and read.is_in_order and not read.is_norm:
        known = constants.get(source)
        numbers = known if known is not None and len(known) == site.units else numbers
    columns = [axis for axis in site.read_by if axis.tensor == read.weight]
    if len(columns) != 1 or read.is_norm:
        return numbers
    rows = tensors[columns[0].tensor].detach().movedim(columns[0].axis, 0).flatten(1).cpu()
    is_unread = (rows[list(columns[0].positions)] == 0).all(1).unflatten(0, (site.units, -1)).all(1)
    return torch.where(is_unread, 0.0, numbers)


def _are_columns(site: Site, readers: Mapping[str, Constants], tensors: Mapping[str, Tensor]) -> bool:
    """Whether every reader is a weight with columns of its own for every unit."""
    read_by = {axis.tensor: axis for axis in site.read_by}
    return len(read_by) == len(site.read_by) and all(
        name in read_by
        and read_by[name].axis == 1
        and len(read_by[name].positions) == site.units * read_by[name].repeat == tensors[name].shape[1]
        for name in readers
    )


@torch.no_grad()
def _hand_over_(model: nn.Module, one: _Idle) -> None:
    """Let the heir's columns do the work of those that go, in place; theirs become zero."""
    tensors = tensors_of(model)
    for axis in one.site.read_by:
        factors = one.factors.get(axis.tensor)
        if factors is None:
            continue
        weight = tensors[axis.tensor]
        own = torch.tensor(axis.entries(one.heir), device=weight.device)
        for unit in one.gone:
            theirs = torch.tensor(axis.entries(unit), device=weight.device)
            weight[:, own] += float(factors[unit]) * weight[:, theirs]
            weight[:, theirs] = 0.0
