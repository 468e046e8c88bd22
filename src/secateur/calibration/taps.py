"""Where units can be watched in a graph: where they are read, and where each layer that makes them puts them out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import Node

from secateur import padding
from secateur.calibration.blocks import at_blocks
from secateur.calibration.pairs import at_activations
from secateur.calibration.places import Batch, Places
from secateur.costs import weight_of
from secateur.errors import DataError, ModelError
from secateur.graph import Traced, operator_of, shape_of
from secateur.homology import Cloud
from secateur.reading import values_read
from secateur.scores import Blocks, Entering, Look, Maps, Points, Reads, Rectified, Tap
from secateur.sites import Read, Site, Sites, TensorAxis
from secateur.stats import Moments

_NORMS = {"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm", "dropout", "dropout_", "contiguous"}
_ACTIVATIONS = {
    *("relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh"),
    *("leaky_relu", "log_sigmoid", "rrelu", "sigmoid", "softplus", "softshrink", "hardshrink", "tanh", "threshold"),
    *("prelu", "clamp", "clamp_min"),
}
_ARITHMETIC = _ACTIVATIONS | {"add", "div", "erf", "exp", "mul", "neg", "pow", "square", "sub"}


def taps_of(traced: Traced, sites: Sites, looks: Sequence[Look]) -> Places:
    """Where in a graph to look, for looks at outputs.

    Raises:
        ModelError: a look asks for maps, and a site's units cannot be followed to what makes them; or for
            activations, and the sites hold none.
    """
    places = Places()
    for look in looks:
        match look:
            case Reads():
                _at_reads(places, sites, look)
            case Maps() | Points():
                _at_makers(places, traced, sites, look)
            case Entering() | Rectified():
                at_activations(places, traced, sites, look)
            case Blocks():
                at_blocks(places, traced, sites, look)
    return places


def layers_watched(traced: Traced, site: Site, tap: Tap) -> tuple[str, ...]:
    """The weights behind whose layers looks at makers watch a site, in the order of what is seen there.

    Raises:
        ModelError: examples do not lie along the first axis there.
    """
    return tuple(maker.lane.tensor for maker in _makers(traced, site, tap))


def measured(look: Maps, maps: Tensor, tokens: Tensor | None) -> Float[Tensor, "examples units"]:
    """A number for every map, of texts without their padding: those with as many tokens are measured together."""
    axis = -2 if maps.shape[-1] == 1 else -1
    if tokens is None or tokens.shape != (len(maps), maps.shape[axis]):
        return look.measure(maps)
    lengths = tokens.sum(1)
    found, places = [], []
    for length in lengths[lengths > 0].unique().tolist():
        some = (lengths == length).nonzero().flatten()
        entries = maps[some].movedim(axis, 1)[tokens[some]]
        found.append(look.measure(entries.unflatten(0, (-1, length)).movedim(1, axis)))
        places.append(some)
    return torch.cat(found)[torch.cat(places).argsort()]


def check_examples_first(site: Site, node: Any) -> None:
    """Refuse a value whose examples do not lie along its first axis.

    Raises:
        ModelError: names the site.
    """
    value: Any = node.meta.get("val") if isinstance(node, Node) else None
    if isinstance(value, Tensor) and not (_symbols_first(value) & _examples(node)):
        raise ModelError(
            f"{site.name}: examples do not lie along the first axis of {node.name}; score it with a method that does "
            "not look at each example, such as dense or magnitude."
        )


def _examples(node: Node) -> set[Any]:
    """The symbols that stand for how many examples a graph is given."""
    inputs = [each.meta.get("val") for each in node.graph.nodes if each.op == "placeholder"]
    return {symbol for value in inputs if isinstance(value, Tensor) for symbol in _symbols_first(value)}


def _symbols_first(value: Tensor) -> set[Any]:
    """The symbols in the length of a value's first axis."""
    size: Any = value.shape[0] if value.dim() else 0
    return set(size.node.expr.free_symbols) if isinstance(size, torch.SymInt) else set()


def _at_reads(places: Places, sites: Sites, look: Reads) -> None:
    """Each site is watched at its first reader that is not a norm."""
    seen = places.seen[look] = {site.name: look.empty() for site in sites}

    def see(site: Site, read: Read, args: tuple[Any, ...], batch: Batch) -> None:
        seen[site.name] = seen[site.name].observe(_rows(args[read.operand], read, site.units, batch.tokens))

    for site in sites:
        read = next((read for read in site.reads if not read.is_norm), site.reads[0])
        places.before[read.node].append(partial(see, site, read))


def _rows(value: Tensor, read: Read, units: int, tokens: Tensor | None) -> Tensor:
    """A tensor that is read, as [rows, units], without padding."""
    rows = values_read(value, read, units)
    shown = padding.seen(tokens, value.shape, read.axes)
    return rows if shown is None else rows[values_read(shown.expand_as(value), read, units)[:, 0]]


def _at_makers(places: Places, traced: Traced, sites: Sites, look: Maps | Points) -> None:
    """Each site is watched behind every layer whose weights make its units."""
    seen: dict[str, tuple[Any, ...]] = {}
    places.seen[look] = seen

    def see(place: tuple[str, int], maker: "_Maker", value: Tensor, batch: Batch) -> None:
        name, number = place
        maps = _maps(value, maker, batch.examples)
        rows = look.measure(maps, batch.tokens) if isinstance(look, Points) else measured(look, maps, batch.tokens)
        if not bool(torch.isfinite(rows).all()):
            raise DataError(f"{name}: {maker.node} puts out maps that are NaN or infinite; look at data and weights.")
        parts = seen[name]
        seen[name] = (*parts[:number], parts[number].observe(rows), *parts[number + 1 :])

    for site in sites:
        makers = list(_makers(traced, site, look.tap))
        if not makers:
            made = ", ".join(axis.tensor for axis in site.made_by)
            raise ModelError(
                f"{site.name}: no layer uses {made} as it is, so the maps that it makes cannot be watched; score it "
                "with a method that watches units where they are read, such as dense."
            )
        seen[site.name] = tuple(Cloud() if isinstance(look, Points) else Moments.empty() for _ in makers)
        for number, maker in enumerate(makers):
            places.after[maker.node].append(partial(see, (site.name, number), maker))


@dataclass(frozen=True)
class _Maker:
    """A node that gives the units that some weights make: unit after unit, their entries along an axis, from behind."""

    node: str
    axis: int
    units: int
    lane: TensorAxis


def _makers(traced: Traced, site: Site, tap: Tap) -> Iterator[_Maker]:
    """The nodes where a site's units are put out, in the order of the data."""
    lanes = {lane.tensor: lane for lane in site.made_by}
    shapes = {
        traced.tensors[node.name]: value.shape for node, value in traced.bound.items() if node.name in traced.tensors
    }
    for node in traced.nodes:
        lane = lanes.get(weight_of(node, traced) or "")
        if lane is None:
            continue
        shape, weight = shape_of(node) or (), shapes[lane.tensor]
        axis = -(len(weight) - 1) if "conv" in operator_of(node) else -1
        if shape[axis] != weight[lane.axis]:
            continue  # the groups of a transposed convolution: its weight does not say which channel is which
        check_examples_first(site, node)
        place = node if tap == "pre" else _activated(node, axis)
        yield _Maker(place.name, axis, site.units, lane)


def _activated(node: Node, axis: int) -> Node:
    """The last node on the way through norms and one activation, as long as nobody else reads what is between."""
    place = node
    while (after := _only_reader(place)) is not None:
        operator = operator_of(after).removesuffix("_")
        if operator in _ACTIVATIONS:
            return after
        if operator not in _NORMS and not (axis == -1 and _is_relaid(place, after)):
            return place
        place = after
    return _written_out(place)


def _is_relaid(node: Node, after: Node) -> bool:
    """Whether only examples and tokens are laid out anew, the last axis being as it was."""
    before, now = shape_of(node) or (), shape_of(after) or ()
    return operator_of(after) in ("view", "reshape") and before[-1:] == now[-1:]


def _written_out(node: Node) -> Node:
    """Where an activation ends that is written out as arithmetic on one value (x · sigmoid(x)); else the node."""
    inside = [node]
    for place in inside:  # which grows
        for after in place.users:
            operands = [other for other in after.all_input_nodes if isinstance(other.meta.get("val"), Tensor)]
            is_part = operator_of(after).removesuffix("_") in _ARITHMETIC and all(other in inside for other in operands)
            if is_part and after not in inside:
                inside.append(after)
    ends = [place for place in inside if any(after not in inside for after in place.users)]
    return ends[0] if len(ends) == 1 else node


def _only_reader(node: Node) -> Node | None:
    """The one operator that reads a value, where it is one and reads it first; who asks for its size does not count."""
    readers = [user for user in node.users if isinstance(user.meta.get("val"), Tensor)]
    return readers[0] if len(readers) == 1 and readers[0].args[0] is node else None


def _maps(value: Tensor, maker: _Maker, examples: int) -> Float[Tensor, "examples units height width"]:
    """The maps of every unit: the last axis is the width, all others together the height; no axis at all is 1×1."""
    value = value.movedim(maker.axis, 1)
    entries = maker.lane.positions
    if entries != tuple(range(value.shape[1])):
        value = value.index_select(1, torch.tensor(entries, device=value.device))
    if len(value) != examples:  # windows laid out along the batch
        value = value.unflatten(0, (examples, -1)).movedim(1, 2)
    if maker.lane.repeat > 1:
        value = value.unflatten(1, (maker.units, maker.lane.repeat))
    match value.dim():
        case 2:
            return value[..., None, None]
        case 3:
            return value[..., None]
        case 4:
            return value
    return value.flatten(2, -2)
