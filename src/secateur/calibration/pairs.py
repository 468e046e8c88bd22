"""Every activation watched: what goes in, or that beside what comes out."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor
from torch.fx import Node

from secateur import padding
from secateur.calibration.places import Batch, Places
from secateur.errors import DataError, ModelError
from secateur.graph import Traced, operator_of
from secateur.scores import Blocks, Entering, Look, Rectified
from secateur.sites import Activation, Sites


def at_activations(places: Places, traced: Traced, sites: Sites, look: Entering | Rectified) -> None:
    """Every activation is watched: what it reads, and for some looks what it makes of that.

    Raises:
        ModelError: there are none among the sites, or they are not the model's.
    """
    ends = ends_of(traced, sites)
    seen = places.seen[look] = {activation.name: look.empty() for activation in sites.activations}
    for activation in sites.activations:
        see = partial(_see, seen, activation)
        if isinstance(look, Entering):
            _watch_source(places, ends[activation.name], see)
        else:
            _watch(places, ends[activation.name], see)


def check_finite(found: Mapping[Look, Mapping[str, Any]]) -> None:
    """Refuse what was seen at activations, or at blocks around them, if it is not finite.

    Raises:
        DataError: names the activation.
    """
    for look, seen in found.items():
        for name, statistic in seen.items() if isinstance(look, Entering | Rectified | Blocks) else ():
            if not statistic.is_finite:
                raise DataError(f"{name}: what comes in there is NaN or infinite; look at data and weights.")


def ends_of(traced: Traced, sites: Sites) -> dict[str, tuple[Node, Node]]:
    """For every activation, by name, the nodes of what it reads and of what it gives.

    Raises:
        ModelError: there are none among the sites, or they are not the model's.
    """
    place = type(traced.model).__name__
    if not sites.activations:
        raise ModelError(f"{place}: the sites hold no activations; take them from find_layers(model, example).")
    nodes = {node.name: node for node in traced.nodes}
    for each in sites.activations:
        if not {each.source, each.node} <= nodes.keys():
            raise ModelError(
                f"{each.name}: {place} has no such activation (any more); find them in the model as it is, with "
                "find_layers(model, example)."
            )
    return {each.name: (nodes[each.source], nodes[each.node]) for each in sites.activations}


def rows_of(value: Tensor, axis: int, tokens: Tensor | None) -> Tensor:
    """A value with its units last: a view, or without padding [rows, units]."""
    rows = value.movedim(axis, -1)
    shown = padding.seen(tokens, value.shape, (axis,))
    return rows if shown is None else rows[shown.movedim(axis, -1)[..., 0]]


def _watch_source(places: Places, ends: tuple[Node, Node], see: Callable[[Batch, Tensor], None]) -> None:
    source, node = ends
    if node.args[0] is source:
        places.before[node.name].append(lambda args, batch: see(batch, args[0]))
    else:
        places.after[source.name].append(lambda value, batch: see(batch, value))


def _watch(places: Places, ends: tuple[Node, Node], see: Callable[[Batch, Tensor, Tensor], None]) -> None:
    source, node = ends
    held: list[Tensor] = []  # from the one end of the activation to the other
    is_in_place = operator_of(node).endswith("_")

    def hold(value: Any, _: Batch) -> None:
        held.append(value)

    def hold_argument(args: tuple[Any, ...], _: Batch) -> None:
        held.append(args[0].clone() if is_in_place else args[0])

    def see_both(value: Any, batch: Batch) -> None:
        see(batch, held.pop(), value)

    if node.args[0] is source:
        places.before[node.name].append(hold_argument)
    else:
        places.after[source.name].append(hold)
    places.after[node.name].append(see_both)


def _see(seen: dict[str, Any], activation: Activation, batch: Batch, *values: Tensor) -> None:
    rows = (rows_of(value, activation.axis, batch.tokens) for value in values)
    seen[activation.name] = seen[activation.name].observe(*rows)
