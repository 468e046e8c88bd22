"""What a gate on each unit would do to the loss: gradients where units are read, one backward pass for each batch."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node

from secateur.calibration.taps import check_examples_first
from secateur.errors import DataError
from secateur.graph import Operator, Traced
from secateur.inference import batch_on, device_of
from secateur.reading import values_read
from secateur.sites import Read, Site, Sites
from secateur.task import Arguments, Batch, Task

Given = tuple[Batch, Arguments, int]


def gate_slopes(traced: Traced, sites: Sites, task: Task, given: Given) -> dict[str, Float64[Tensor, "examples units"]]:
    """For every site, the slope of each example's loss in a gate on each of its units.

    Nothing of the model asks for gradients: none are left behind, and frozen weights do not matter.

    Raises:
        DataError: the loss does not depend on the output, or a slope is not finite.
        ModelError: examples do not lie along the first axis where units are read.
    """
    batch, arguments, rows = given
    slopes: dict[str, Tensor] = {}
    sources: list[Tensor] = []
    places = _places(sites)
    apart = replace(traced, bound={node: _detached(value) for node, value in traced.bound.items()})

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        for site, read in places.get(node.name, ()):
            check_examples_first(site, node.args[read.operand])
            gated = _gated(args[read.operand], sources)
            gated.register_hook(_adding(slopes, site, read, (gated.detach(), rows)))
            args = (*args[: read.operand], gated, *args[read.operand + 1 :])
        return operator(*args)

    with torch.enable_grad():
        loss = task.loss(apart.run(arguments, around), batch_on(batch, device_of(traced.model)))
        if not loss.requires_grad:
            raise DataError("the task's loss does not depend on what the sites put out; give a loss that does.")
        torch.autograd.grad(loss, sources, allow_unused=True)
    for name, slope in slopes.items():
        if not bool(torch.isfinite(slope).all()):
            raise DataError(f"{name}: the loss has gradients that are NaN or infinite; look at targets and weights.")
    unread = {s.name: torch.zeros(rows, s.units, dtype=torch.float64, device=loss.device) for s in sites}
    return unread | slopes  # the loss may not see all outputs


def _places(sites: Sites) -> dict[str, list[tuple[Site, Read]]]:
    """Every node where sites are read: by products, or by norms where nothing else reads them."""
    places: dict[str, list[tuple[Site, Read]]] = defaultdict(list)
    for site in sites:
        for read in [read for read in site.reads if not read.is_norm] or site.reads:
            places[read.node].append((site, read))
    return places


def _gated(value: Tensor, sources: list[Tensor]) -> Tensor:
    """A copy that nobody else reads, so that its gradient is that of this one reading."""
    if value.requires_grad:
        return value.clone()
    source = value.detach().requires_grad_()
    sources.append(source)
    return source.clone()


def _adding(slopes: dict[str, Tensor], site: Site, read: Read, seen: tuple[Tensor, int]) -> Callable[[Tensor], None]:
    """A hook that adds output times gradient, summed over positions, to a site's slopes."""
    values, rows = seen

    def add(gradient: Tensor) -> None:
        products = values_read((values * gradient).detach(), read, site.units)
        slope = products.reshape(rows, -1, site.units).sum(1, dtype=torch.float64) * rows  # the loss is a mean
        slopes[site.name] = slopes[site.name] + slope if site.name in slopes else slope

    return add


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
