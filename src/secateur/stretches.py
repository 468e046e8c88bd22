"""Stretches of layers that one linear operator can take the place of: residual blocks, MLPs, pairs of convolutions."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn
from torch.fx import Node

from secateur.activations import activations_in
from secateur.calling import one_to_one
from secateur.costs import weight_of
from secateur.counting import count, macs_by_node
from secateur.errors import ModelError
from secateur.graph import Traced, operator_of, shape_of
from secateur.sites import Activation, Sites, Stretch
from secateur.tracing import Example, trace

KERNEL = 3  # of the convolution that a stretch of maps becomes
MOST_INSIDE = 3  # rectifiers: a block, not a stage of blocks
_MIXING = {
    *("scaled_dot_product_attention", "softmax", "_softmax", "matmul", "bmm", "baddbmm", "embedding", "cumsum"),
    *("gather", "index", "index_select", "argmax", "sort", "topk", "lstm", "gru"),
}
_SUMMING = {"add", "add_", "dropout", "dropout_", "alias", "clone", "contiguous"}
_MOST_AXES = 5  # of maps in space: examples, channels, depth, height, width


def find_layers(model: nn.Module, example: Example) -> Sites:
    """The sites of methods of layers: every rectifier, and every stretch that one operator can stand for; no units.

    Raises:
        ModelError: the model cannot be traced, or has no rectifier between two linear operations.
    """
    traced = trace(model, example)
    found = activations_in(traced)
    if not found:
        raise ModelError(
            f"{type(model).__name__}: no rectifier (ReLU, GELU, SiLU, …) stands between two linear operations, so no "
            "layer can go; methods of units, such as magnitude, may still find something to remove."
        )
    return Sites((), activations=found, stretches=stretches_in(traced, found, example), macs=count(traced).macs)


def stretches_in(traced: Traced, activations: Sequence[Activation], example: Example) -> tuple[Stretch, ...]:
    """The stretches of a model, in the order of the data: whole modules where they hold nothing else, else pairs.

    A stretch is sought around every rectifier that is in none before, nor stays behind one; no rectifier is in two.
    Neighbouring pairs share a layer. All modules are called with one tensor, and give one.
    """
    graph = _Graph.of(traced, activations, one_to_one(traced.model, example))
    found: list[Stretch] = []
    for activation in activations:
        taken = {name for one in found for name in one.activations}
        stays = any(one.then and one.node == activation.source for one in found)
        stretch = None if activation.name in taken or stays else graph.around(activation, taken)
        found += [stretch] if stretch is not None else []
    return tuple(found)


@dataclass(frozen=True)
class _Graph:
    """A traced model with what stretches are told by: calls of modules, rectifiers by node, and costs."""

    traced: Traced
    nodes: Mapping[str, Node]
    calls: Mapping[str, tuple[Node, ...]]
    rectifiers: Mapping[str, Activation]
    macs: Mapping[str, int]

    @staticmethod
    def of(traced: Traced, activations: Sequence[Activation], modules: Set[str]) -> "_Graph":
        """The graph of a model, of some of its modules those that run once with the nodes of their calls."""
        keys: dict[str, set[str]] = {}
        calls: dict[str, list[Node]] = {}
        for node in traced.nodes:
            if node.op != "call_function":
                continue
            for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
                keys.setdefault(str(path), set()).add(str(key))
                calls.setdefault(str(path), []).append(node)
        once = {path: tuple(nodes) for path, nodes in calls.items() if path in modules and len(keys[path]) == 1}
        return _Graph(
            traced=traced,
            nodes={node.name: node for node in traced.nodes},
            calls=once,
            rectifiers={activation.node: activation for activation in activations},
            macs=macs_by_node(traced),
        )

    def around(self, activation: Activation, taken: Set[str]) -> Stretch | None:
        """The largest module that holds a rectifier, and none that a smaller one does not, or the pair around it.

        It holds none of those that are taken.
        """
        best: Stretch | None = None
        for path in self._outwards(activation):
            stretch = self._module(path)
            if stretch is None or activation.name not in stretch.activations:
                continue  # it is the module's last, or nothing that one operator leads through
            if len(stretch.activations) > MOST_INSIDE or not taken.isdisjoint(stretch.activations):
                break
            if best is not None and stretch.activations != best.activations:
                break
            best = stretch
        return best or self._pair(activation)

    def _outwards(self, activation: Activation) -> Iterator[str]:
        """The modules around a rectifier, the innermost first."""
        path = activation.owner
        while path:
            yield path
            path = path.rpartition(".")[0]

    def _module(self, path: str) -> Stretch | None:
        """A whole module with one input and one output as a stretch; its last rectifier stays."""
        region = self.calls.get(path, ())
        if any(operator_of(node) in _MIXING for node in region):
            return None
        inside = set(region)
        sources = {source for node in region for source in node.all_input_nodes if self._is_data(source)} - inside
        ends = [node for node in region if self._is_data(node) and any(user not in inside for user in node.users)]
        if len(sources) != 1 or len(ends) != 1:
            return None
        end, then = ends[0], ""
        if (last := self.rectifiers.get(end.name)) is not None:
            then, end = last.operator, self.nodes[last.source]
        return self._stretch(path, (path,), (sources.pop(), end), region, then)

    def _pair(self, activation: Activation) -> Stretch | None:
        """Two linear operations and what is between them, all calls of modules of their own, read by nobody else."""
        first = self._backwards(self.nodes[activation.source])
        last = self._forwards(self.nodes[activation.node])
        if first is None or last is None or not activation.module:
            return None
        region = self._between(first, last)
        modules = self._leaves(region)
        if modules is None:
            return None
        source = first.args[0]
        assert isinstance(source, Node)
        return self._stretch(activation.name, modules, (source, region[-1]), region, "")

    def _backwards(self, node: Node) -> Node | None:
        """The linear operation that a value comes from, with nobody else reading on the way."""
        while weight_of(node, self.traced) is None:
            data = [source for source in node.all_input_nodes if self._is_data(source)]
            if node.op != "call_function" or len(data) != 1 or len(_readers(node)) != 1:
                return None
            node = data[0]
        return node if len(_readers(node)) == 1 else None

    def _forwards(self, node: Node) -> Node | None:
        """The linear operation that a value goes into, and nowhere else."""
        while True:
            readers = _readers(node)
            if len(readers) != 1 or readers[0].name in self.rectifiers or operator_of(readers[0]) in _MIXING:
                return None
            node = readers[0]
            if weight_of(node, self.traced) is not None:
                return node
            if len([source for source in node.all_input_nodes if self._is_data(source)]) != 1:
                return None

    def _between(self, first: Node, last: Node) -> tuple[Node, ...]:
        """The nodes from one linear operation to another, with the norm behind it that nobody else comes before."""
        region, node = [first], first
        while node is not last:
            node = _readers(node)[0]
            region.append(node)
        readers = _readers(last)
        if len(readers) == 1 and operator_of(readers[0]) == "batch_norm":
            region.append(readers[0])
        return tuple(region)

    def _leaves(self, region: Sequence[Node]) -> tuple[str, ...] | None:
        """The modules whose calls make up a chain of nodes; None where one is no call of a module of its own."""
        paths: dict[str, None] = {}
        for node in region:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            path = str(stack[-1][0]) if stack else ""
            tensors = [one for one in self.calls.get(path, ()) if self._is_data(one)]
            if not set(tensors) <= set(region) or not tensors:
                return None
            paths[path] = None
        return tuple(paths) or None

    def _stretch(
        self, name: str, modules: tuple[str, ...], ends: tuple[Node, Node], region: Sequence[Node], then: str
    ) -> Stretch | None:
        """The stretch between two values, where one operator of a plain shape leads from one to the other."""
        source, node = ends
        before, after = shape_of(source) or (), shape_of(node) or ()
        is_maps = any("conv" in operator_of(one) for one in region)
        form = _form(before, after) if is_maps else _form_of_rows(before, after)
        inside = [rectifier for one in region if (rectifier := self.rectifiers.get(one.name))]
        inner = tuple(rectifier.name for rectifier in inside if not then or rectifier.source != node.name)
        if form is None or not inner:
            return None
        axis, kernel, stride = form
        macs = sum(self.macs.get(one.name, 0) for one in region)
        places = prod(after[axis + 1 :]) if is_maps else prod(after[1:-1])
        cost = places * before[axis] * after[axis] * prod(kernel)
        return Stretch(
            *(name, inner, source.name, node.name, modules, before[axis], after[axis], kernel, stride, then),
            has_path=_leads_around(source, node, set(region)),
            is_branch=not then and before == after and self._is_summed(node),
            macs=macs,
            macs_after=cost,
        )

    def _is_summed(self, node: Node) -> bool:
        """Whether a value is added to another of the data's, and goes nowhere else."""
        while True:
            readers = _readers(node)
            if len(readers) != 1 or operator_of(readers[0]) not in _SUMMING:
                return False
            node = readers[0]
            if operator_of(node).startswith("add"):
                return sum(self._is_data(source) for source in node.all_input_nodes) > 1

    def _is_data(self, node: Node) -> bool:
        """Whether a node's value is a tensor that comes in with the data."""
        return (
            isinstance(node.meta.get("val"), Tensor)
            and node.name not in self.traced.tensors
            and node not in self.traced.bound
        )


def _readers(node: Node) -> list[Node]:
    return [user for user in node.users if isinstance(user.meta.get("val"), Tensor)]


def _leads_around(source: Node, node: Node, region: Set[Node]) -> bool:
    """Whether a value gets to another as it is, through sums alone."""
    ahead = [node]
    for place in ahead:  # which grows
        if place is source:
            return True
        if place in region and operator_of(place) in _SUMMING:
            ahead += [one for one in place.all_input_nodes if one not in ahead]
    return False


Form = tuple[int, tuple[int, ...], tuple[int, ...]]


def _form(before: tuple[int, ...], after: tuple[int, ...]) -> Form | None:
    """The axis of the channels, the kernel and the strides of a convolution between maps; None if none fits."""
    if len(before) != len(after) or not _MOST_AXES >= len(before) > 2:
        return None
    pairs = list(zip(before[2:], after[2:], strict=True))
    strides = tuple(max(round(large / max(small, 1)), 1) for large, small in pairs)
    fits = all(-(-large // stride) == small for (large, small), stride in zip(pairs, strides, strict=True))
    return (1, (KERNEL,) * len(pairs), strides) if fits else None


def _form_of_rows(before: tuple[int, ...], after: tuple[int, ...]) -> Form | None:
    """The same for a linear layer on the last axis."""
    return (len(before) - 1, (), ()) if len(before) > 1 and before[:-1] == after[:-1] else None
