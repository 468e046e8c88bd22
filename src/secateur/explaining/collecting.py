"""From scores to what the shown units put out, and the examples that stand for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from secateur.calibration import Watch, watched_layers
from secateur.explaining.choosing import Chosen, Detail, chosen, order_of
from secateur.explaining.examples import Maps, Place, examples_of, maps_of
from secateur.explaining.outputs import Recorded, narrowed, outputs_of, record
from secateur.explanation import Example, Outputs, Picture
from secateur.scores import Points, Scores
from secateur.sites import Sites
from secateur.task import Task


@dataclass(frozen=True, eq=False)
class Collected:
    """The units that are shown at each site, what they put out behind each layer, and the examples.

    Sites whose units cannot be watched are left out; `watched` examples were.
    """

    chosen: Mapping[str, Chosen]
    outputs: Mapping[str, Mapping[int, tuple[Outputs, ...]]]
    examples: Mapping[int, Example]
    watched: int


@dataclass(frozen=True, eq=False)
class Wanted:
    """What there is to collect: units by their scores, what is watched of them, and how much is shown."""

    scores: Scores
    look: Points
    detail: Detail


def collect(model: nn.Module, sites: Sites, task: Task, wanted: Wanted, watch: Watch) -> Collected:
    """What there is to show; memory grows with the units shown and the examples, not with all units."""
    look, detail = wanted.look, wanted.detail
    layers = watched_layers(model, sites, task, look.tap)
    some = {
        name: chosen(order_of(values.double().cpu().numpy()), detail.units)
        for name, values in wanted.scores.values.items()
        if layers[name]
    }
    few = narrowed(sites, some)
    recorded = record(model, few, task, look, watch)
    outputs = _outputs(recorded, layers, detail)
    shown = {place: found.shown for place, found in outputs.items()}
    numbers = {number for some_shown in shown.values() for number in some_shown}
    examples = examples_of(task, numbers, recorded, detail.show)
    has_pictures = any(isinstance(example.content, Picture) for example in examples.values())
    maps = maps_of(model, few, task, look, shown, watch) if has_pictures else {}
    return Collected(some, _by_unit(outputs, maps, some), examples, len(recorded.marks))


def _outputs(recorded: Recorded, layers: Mapping[str, tuple[str, ...]], detail: Detail) -> dict[Place, Outputs]:
    """The outputs of each shown unit behind each layer that makes it."""
    return {
        (site, number, unit): outputs_of(_module(layer), values[:, unit].copy(), detail.examples)
        for site, found in recorded.values.items()
        for number, (layer, values) in enumerate(zip(layers[site], found, strict=True))
        for unit in range(values.shape[1])
    }


def _by_unit(
    outputs: Mapping[Place, Outputs], maps: Maps, some: Mapping[str, Chosen]
) -> dict[str, dict[int, tuple[Outputs, ...]]]:
    """The outputs, with their maps, by site and unit."""
    found: dict[str, dict[int, tuple[Outputs, ...]]] = {site: {} for site in some}
    for (site, layer, unit), each in outputs.items():
        number = some[site].units[unit]
        drawn = replace(each, maps=maps.get((site, layer, unit), {}))
        found[site][number] = (*found[site].get(number, ()), drawn)
    return found


def _module(tensor: str) -> str:
    """The layer that a weight belongs to."""
    return tensor.removesuffix(".weight")
