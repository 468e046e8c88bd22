"""Linear layers that stand directly after each other in a model's graph."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from secateur.depth import Ones
from secateur.errors import FoldError
from secateur.folding.maps import Map
from secateur.folding.modules import LINEAR, has_scale, is_norm, is_product, map_of
from secateur.graph import Traced, module_of, operator_of, shape_of

_DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
_SAME = ("alias", "contiguous", "clone", "detach")
_LAYOUTS = ("flatten", "view", "reshape", "squeeze", "_unsafe_view")


@dataclass(frozen=True)
class Layer:
    """The one call of a linear module: the node that it reads, the one that it gives, and what it computes.

    Of a layer norm that is the scale with which it ends: it begins a chain, whatever stands before it.

    It works over so many `axes` besides rows and channels. `reason` says why it cannot be merged, "" if it can. `ones`
    names the module that appends a channel of ones to what it reads, if there is one.
    """

    name: str
    module: nn.Module = field(repr=False)
    source: Node
    node: Node
    axes: int = 0
    reason: str = ""
    ones: str = ""

    @property
    def map(self) -> Map:
        """What it computes, in float64.

        Raises:
            FoldError: it cannot be merged.
        """
        if self.reason:
            raise FoldError(self.reason)
        return replace(map_of(self.name, self.module, self.axes), ones=bool(self.ones))

    @property
    def is_norm(self) -> bool:
        """Whether it is a batch-norm."""
        return is_norm(self.module)

    @property
    def is_product(self) -> bool:
        """Whether it is a convolution or a linear layer."""
        return is_product(self.module)


@dataclass(frozen=True)
class Link:
    """What stands between two layers that follow each other, or before a layer that follows none.

    `pools` if an average is taken over positions; `dropouts` are modules that do nothing when the model is used.
    `reason` says what keeps the layers apart, "" if nothing does.
    """

    after: Layer
    before: Layer | None = None
    pools: bool = False
    dropouts: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Chain:
    """Layers each of which reads what the one before gives, and nobody else does; a link before all but the first."""

    layers: tuple[Layer, ...]
    links: tuple[Link, ...]


def layers_in(traced: Traced) -> tuple[Layer, ...]:
    """Every linear module that is called, in the order of the data."""
    modules = dict(traced.model.named_modules(remove_duplicate=False))
    names = Counter(id(module) for module in modules.values())
    calls: dict[str, list[Node]] = {}
    for node in traced.nodes:
        if node.op == "call_function":
            calls.setdefault(module_of(node), []).append(node)
    return tuple(
        layer
        for name, nodes in calls.items()
        if type(modules.get(name)) in LINEAR and (begins(modules[name]) == has_scale(modules[name]))
        for layer in _layers(traced, name, nodes, names[id(modules[name])])
    )


def chains_in(layers: tuple[Layer, ...]) -> tuple[tuple[Chain, ...], tuple[Link, ...]]:
    """The chains of a model, and for every layer what stands before it."""
    given = {layer.node: layer for layer in layers}
    links = {layer.node: _before(layer, given) for layer in layers}
    chains: dict[Node, Chain] = {}
    for layer in layers:  # in the order of the data, so that what is before has its chain
        link = links[layer.node]
        ahead = None if link.before is None or link.reason else chains.pop(link.before.node, None)
        if ahead is None:
            chains[layer.node] = Chain((layer,), ())
        else:
            chains[layer.node] = Chain((*ahead.layers, layer), (*ahead.links, link))
    return tuple(chains.values()), tuple(links.values())


def _layers(traced: Traced, name: str, nodes: list[Node], names: int) -> Iterator[Layer]:
    """A module's call, or each of its calls where it has several, which cannot be merged."""
    module = traced.model.get_submodule(name)
    calls: dict[str, list[Node]] = {}
    for node in nodes:
        calls.setdefault(call_of(node), []).append(node)
    for call in calls.values():
        sources = [
            source
            for node in call
            for source in node.all_input_nodes
            if source not in call and source.name not in traced.tensors and isinstance(source.meta.get("val"), Tensor)
        ]
        if len(set(sources)) == 1:
            used = max(
                len(calls), names, *(len(set(tensor.users) - set(call)) + 1 for tensor in _tensors(traced, call))
            )
            yield _layer(traced, name, module, (sources[0], call[-1]), used)


def _tensors(traced: Traced, call: list[Node]) -> set[Node]:
    """The model's own tensors that a call reads."""
    return {source for node in call for source in node.all_input_nodes if source.name in traced.tensors}


def _layer(traced: Traced, name: str, module: nn.Module, ends: tuple[Node, Node], calls: int) -> Layer:
    source, node = ends
    try:
        _check_alone(traced, name, module, calls)
        axes = len(map_of(name, module, max(len(shape_of(source) or ()) - 2, 0)).kernel)
    except FoldError as error:
        return Layer(name, module, source, node, reason=str(error))
    appends = module_of(source) if source.op == "call_function" else ""
    if appends and type(traced.model.get_submodule(appends)) is Ones and len(source.users) == 1:
        return Layer(name, module, source.all_input_nodes[0], node, axes, ones=appends)
    return Layer(name, module, source, node, axes)


def _check_alone(traced: Traced, name: str, module: nn.Module, calls: int) -> None:
    """Refuse a module that does more than one thing."""
    if calls > 1:
        raise FoldError(f"{name}: it or its weights are used {calls} times; give every use a module of its own.")
    if module._forward_hooks or module._forward_pre_hooks:
        raise FoldError(f"{name}: forward hooks change or read what it computes; remove them to merge it.")
    own = {id(parameter) for parameter in module.parameters()}
    every = traced.model.named_parameters(remove_duplicate=False)
    tied = [other for other, parameter in every if id(parameter) in own and other.rpartition(".")[0] != name]
    if tied:
        raise FoldError(f"{name}: shares its weights with {tied[0]}; untie them to merge it.")


def _before(layer: Layer, given: Mapping[Node, Layer]) -> Link:
    """What stands before a layer."""
    if begins(layer.module):
        return Link(layer, reason=f"{_called(layer.node)} is not linear")
    node, pools, several = layer.source, False, ""
    dropouts: list[str] = []
    while True:
        several = several or _several(node)
        if node in given:
            return Link(
                layer, given[node], pools, tuple(dropouts), several or _crossed(given[node], layer, pools=pools)
            )
        kind = passing(node)
        if not kind:
            return Link(layer, reason=f"{_called(node)} stands before it, which is not linear")
        pools = pools or kind == "pool"
        if kind == "dropout" and module_of(node):
            dropouts.append(module_of(node))
        node = node.all_input_nodes[0]


def _several(node: Node) -> str:
    """Why a value cannot go, if more than one reads it."""
    if len(node.users) < 2:
        return ""
    readers = ", ".join(dict.fromkeys(_called(user) for user in node.users))
    return f"what {_called(node)} gives is read {len(node.users)} times ({readers})"


def check_order(layers: Sequence[Layer]) -> None:
    """Refuse layers of which the first reads something that is overwritten before the last runs.

    Raises:
        FoldError: names what overwrites it.
    """
    source, until = layers[0].source, layers[-1].node
    for user in source.users:
        if user.op == "call_function" and operator_of(user).endswith("_") and user.args[0] is source and user < until:
            raise FoldError(
                f"{layers[-1].name}: {_called(user)} overwrites what {layers[0].name} reads, before it could "
                "read that; let it work on a copy (inplace=False)."
            )


def _crossed(before: Layer, after: Layer, *, pools: bool) -> str:
    """Why two layers do not fit, if the channels of one do not lie where those of the other do."""
    if before.reason or after.reason:
        return ""
    first, second = before.axes, after.axes
    given, read = (len(shape_of(node) or ()) for node in (before.node, after.source))
    fits = first == second if given == read and not pools else (first, second) == (given - 2, read - 2)
    return "" if fits else f"{after.name} reads another axis than the one along which {before.name} has its channels"


def _called(node: Node) -> str:
    """What a reader would call a node: its module and operator."""
    if node.op in ("output", "placeholder"):
        return f"the network's {'output' if node.op == 'output' else 'input'}"
    name, operator = module_of(node), operator_of(node).removesuffix("_")
    return f"{name} ({operator})" if name else operator


def call_of(node: Node) -> str:
    """Which call of a module a node stands in, the innermost."""
    return str(list(node.meta["nn_module_stack"])[-1])


def begins(module: nn.Module) -> bool:
    """Whether a module is linear in its last step alone."""
    return isinstance(module, nn.LayerNorm)


def passing(node: Node) -> str:
    """Whether a node leaves all values as they are, or averages them over positions; "" if neither."""
    if node.op != "call_function" or not isinstance(node.meta.get("val"), Tensor):
        return ""
    operator = operator_of(node).removesuffix("_")
    if operator in _SAME or (operator == "to" and _same_type(node)):
        return "same"
    if operator in _DROPOUTS and len(node.args) == 3 and node.args[2] is False:
        return "dropout"
    if operator in _LAYOUTS:
        return "same" if _drops_ones(node) else ""
    return "pool" if _averages(node, operator) else ""


def _same_type(node: Node) -> bool:
    source = node.all_input_nodes[0].meta.get("val")
    return isinstance(source, Tensor) and source.dtype == node.meta["val"].dtype


def _drops_ones(node: Node) -> bool:
    """Whether a layout drops axes of one position after that of the channels."""
    before, after = shape_of(node.all_input_nodes[0]) or (), shape_of(node) or ()
    return len(after) >= 2 and before[: len(after)] == after and all(size == 1 for size in before[len(after) :])


def _averages(node: Node, operator: str) -> bool:
    """Whether a node is an average over positions in which padding has no part."""
    if operator.startswith("adaptive_avg_pool"):
        return True
    if operator.startswith("avg_pool"):
        padding, divisor = (node.args[place] if len(node.args) > place else None for place in (3, 6))
        return not any(padding or []) and divisor is None  # type: ignore[arg-type]  # a list of numbers
    axes = len(shape_of(node.all_input_nodes[0]) or ())
    if operator != "mean" or len(node.args) < 2 or node.kwargs.get("dtype") is not None:
        return False
    dims: Any = node.args[1]
    over = {axis % axes for axis in (dims if isinstance(dims, list) else [dims])}
    return axes > 2 and over == set(range(2, axes))
