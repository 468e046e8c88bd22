"""What a network would cost without some of its layers, before anything is scored, fitted or trained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from secateur import width
from secateur.budget.layers import BECOMES, Become
from secateur.compensation.collapse import changes_of
from secateur.counting import count, macs_by_node
from secateur.depth import change_, linear_at
from secateur.errors import CompressionError, UnknownNameError
from secateur.folding import fold
from secateur.measurement import compare_latency
from secateur.replacing import path_around
from secateur.result import Event, Latency
from secateur.stretches import find_layers
from secateur.tracing import Example, trace

Watch = Callable[[Event], None] | None
_Change = Callable[[nn.Module], object]


@dataclass(frozen=True)
class Cost:
    """What a network costs: `layers` are its operators that multiply, `macs` those of one example."""

    parameters: int
    macs: int
    layers: int


@dataclass(frozen=True)
class Price:
    """One candidate: the whole network's cost as it is, and with the candidate gone and all folded that can be.

    `activations` go with it. `latency` is that of both networks, in turns, if it was asked for; `refused` says why
    there are no figures, "" if there are.
    """

    name: str
    become: Become
    activations: int
    before: Cost
    after: Cost
    latency: tuple[Latency, Latency] | None = None
    refused: str = ""


@dataclass(frozen=True)
class Timing:
    """The rows and torch threads of one timed call."""

    batch_size: int = 1
    threads: int = 1


def price_layers(
    model: nn.Module,
    example: Example,
    *,
    become: Become = "collapse",
    timing: Timing | None = None,
    watch: Watch = None,
) -> tuple[Price, ...]:
    """What every candidate would save, in the order of the data; the given model is never touched.

    Candidates are activations for `affine`, `identity` and `on_off`, stretches for `collapse`, those with a path around
    for `drop`. Nothing is fitted: what comes in has random weights, which changes no cost. With `timing`, each network
    is timed beside the original, in turns, in about a second.

    Raises:
        ModelError: the model cannot be traced, or has no rectifier between two linear operations.
        SettingsError: a number of `timing` is below 1.
        UnknownNameError: no such form.
    """
    if become not in BECOMES:
        raise UnknownNameError("form that a layer can become", become, BECOMES)
    before = _cost(model, example)
    candidates = list(_candidates(model, example, become))
    found = []
    for number, (name, activations, change_net_) in enumerate(candidates):
        if watch:
            watch(Event("pricing layers", number, len(candidates)))
        try:
            small = _without(model, example, change_net_)
        except CompressionError as error:
            found.append(Price(name, become, activations, before, before, refused=str(error)))
            continue
        times = _times(model, small, example, timing) if timing else None
        found.append(Price(name, become, activations, before, _cost(small, example), times))
    return tuple(found)


def _candidates(model: nn.Module, example: Example, become: Become) -> Iterator[tuple[str, int, _Change]]:
    """The name of each, how many activations go with it, and what takes it out of a network, in place."""
    sites = find_layers(model, example)
    if become in ("collapse", "drop"):
        for each in sites.stretches:
            if become == "collapse" or each.has_path or each.is_branch:
                changes = changes_of(each) if become == "collapse" else path_around(each)
                yield each.name, len(each.activations), partial(change_, changes=changes)
        return
    for one in sites.activations:
        slope = torch.full((one.units,), 1.0 if become == "identity" else 0.5)
        yield one.name, 1, partial(linear_at, activation=one, weight=slope, bias=torch.zeros(one.units))


def _without(model: nn.Module, example: Example, change_net_: _Change) -> nn.Module:
    """A folded copy of a network without a candidate."""
    small = width.copied(model)
    change_net_(small)
    generator = torch.Generator().manual_seed(0)
    idle = {name for name, parameter in model.named_parameters() if not parameter.any()}
    with torch.no_grad():
        for name, parameter in small.named_parameters():
            if parameter.dim() > 1 and not parameter.any() and name not in idle:  # it is new; folding cuts zeros
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / max(parameter[0].numel(), 1) ** 0.5)
    return fold(small, example).model


def _cost(model: nn.Module, example: Example) -> Cost:
    traced = trace(model, example)
    operators = sum(macs > 0 for macs in macs_by_node(traced).values())
    return Cost(sum(parameter.numel() for parameter in model.parameters()), count(traced).macs, operators)


def _times(model: nn.Module, small: nn.Module, example: Example, timing: Timing) -> tuple[Latency, Latency]:
    before, after = compare_latency([model, small], example, timing.batch_size, threads=timing.threads)
    return before, after
