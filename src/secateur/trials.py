"""What the loss becomes when activations are made linear: tried in the graph, the model is left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.fx import Node

from secateur.errors import ModelError
from secateur.graph import Operator, Traced
from secateur.inference import batch_on, device_of, evaluating
from secateur.sites import Activation, Sites
from secateur.task import Arguments, Batch, Split, Task
from secateur.tracing import trace


@dataclass(frozen=True)
class Slopes:
    """What takes an activation's place, unit by unit: `weight` times what it reads, and `bias`."""

    weight: Shaped[Tensor, " units"]
    bias: Shaped[Tensor, " units"]

    def at(self, value: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
        """A value whose units lie along an axis, counted from behind, put through them."""
        shape = (-1, *[1] * (-1 - axis))
        weight, bias = (part.to(value).reshape(shape) for part in (self.weight, self.bias))
        return value * weight + bias


@dataclass(frozen=True)
class Trial:
    """A traced model, and the batches that changes are tried on."""

    traced: Traced
    activations: Mapping[str, Activation]
    task: Task
    batches: tuple[Batch, ...]

    def loss(self, changes: Mapping[str, Slopes]) -> float:
        """The mean loss over the batches with some activations, by name, made linear."""
        places = _places(self.traced, self.activations, changes)
        losses = []
        with evaluating(self.traced.model):
            for batch in self.batches:
                output = _run(self.traced, self.task.arguments(batch), places)
                losses.append(float(self.task.loss(output, batch)))
        return sum(losses) / len(losses)


def trial_on(model: nn.Module, sites: Sites, task: Task, *, split: Split = "validation", batches: int = 1) -> Trial:
    """A trial on the first batches of a split.

    Raises:
        DataError: the split is missing or empty.
    """
    device = device_of(model)
    chosen = [batch_on(batch, device) for batch in islice(task.batches(split), batches)]
    return Trial(trace(model, task), {each.name: each for each in sites.activations}, task, tuple(chosen))


def _places(
    traced: Traced, activations: Mapping[str, Activation], changes: Mapping[str, Slopes]
) -> dict[str, tuple[Activation, Slopes]]:
    """The nodes whose values are to be others."""
    nodes = {node.name for node in traced.nodes}
    found = {}
    for name, slopes in changes.items():
        activation = activations[name]
        if not {activation.source, activation.node} <= nodes:
            raise ModelError(f"{name}: the model has no such activation (any more); find them in the model as it is.")
        found[activation.node] = activation, slopes
    return found


def _run(traced: Traced, arguments: Arguments, places: Mapping[str, tuple[Activation, Slopes]]) -> Any:
    """The model's output with other values at some nodes."""
    sources = {activation.source for activation, _ in places.values()}
    held: dict[str, Tensor] = {}

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        if node.name in places:
            activation, slopes = places[node.name]
            value = slopes.at(held[activation.source], activation.axis)
        else:
            value = operator(*args)
        if node.name in sources:
            held[node.name] = value
        return value

    return traced.run(arguments, around)
