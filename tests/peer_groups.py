"""Which channels go together, once as torch-pruning says and once as the library says, in the same words."""

import warnings
from collections import defaultdict
from typing import Any

import torch_pruning as tp
from torch import Tensor, nn

from secateur.sites import Sites, TensorAxis

Part = tuple[str, str, int]  # module, side ("out" or "in"), channel
Unit = frozenset[Part]

_WITH_SIDES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def groups_of_peer(model: nn.Module, example: Tensor) -> set[Unit]:
    """The channels that torch-pruning would remove together, without those that nothing reads: the outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(model, example, verbose=False)
        names = {module: name for name, module in model.named_modules()}
        found = [unit for group in graph.get_all_groups() for unit in _units_of_group(group, graph, names)]
    return {unit for unit in found if any(side == "in" for _, side, _ in unit)}


def groups_of_ours(model: nn.Module, sites: Sites) -> set[Unit]:
    """The channels that the library removes together."""
    return {
        frozenset(part for axis in site.axes for part in _parts(model, axis, unit))
        for site in sites
        for unit in range(site.units)
    }


def _units_of_group(group: Any, graph: Any, names: dict[nn.Module, str]) -> list[Unit]:
    """A group of all channels of a layer, channel by channel of that layer."""
    units: dict[int, set[Part]] = defaultdict(set)
    for item in group:
        module = item.dep.target.module
        if module not in names:
            continue
        is_read = isinstance(module, _WITH_SIDES) and not graph.is_out_channel_pruning_fn(item.dep.handler)
        side = "in" if is_read and not is_depthwise(module) else "out"
        for root, entry in zip(item.root_idxs, item.idxs, strict=True):
            units[root].add((names[module], side, entry))
    return [frozenset(parts) for parts in units.values()]


def _parts(model: nn.Module, axis: TensorAxis, unit: int) -> list[Part]:
    name, _, tensor = axis.tensor.rpartition(".")
    module = model.get_submodule(name)
    is_read = isinstance(module, _WITH_SIDES) and tensor == "weight" and axis.axis == 1
    return [(name, "in" if is_read else "out", entry) for entry in axis.entries(unit)]


def is_depthwise(module: nn.Module) -> bool:
    """Whether each channel of a convolution has a filter of its own."""
    return isinstance(module, _WITH_SIDES[1:]) and module.groups == module.out_channels > 1
