"""A model's graph: what it computes operator by operator, and a way to watch it run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter, getitem
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.fx import Node
from torch.fx.node import map_arg

from secateur.errors import DataError
from secateur.inference import device_of, moved
from secateur.task import Arguments

Operator = Callable[..., Any]
Around = Callable[[Node, tuple[Any, ...], Operator], Any]


@dataclass(frozen=True)
class Traced:
    """A model's graph in eval mode with a free batch size.

    `tensors` maps placeholder nodes to the names of the model's parameters and buffers, `bound` nodes to what does not
    come in with the data: the model's own tensors, so that changing them in place is seen. `spent` says which values
    nobody needs after a node. `keywords` are the keyword arguments in the order of the graph, `fixed` the inputs that
    are no tensors: their values are part of the graph.
    """

    model: nn.Module
    nodes: tuple[Node, ...]
    tensors: Mapping[str, str]
    inputs: tuple[str, ...]
    bound: Mapping[Node, Any]
    spent: Mapping[Node, tuple[Node, ...]]
    structure: pytree.TreeSpec
    keywords: tuple[str, ...]
    fixed: Mapping[str, Any]

    @cached_property
    def calls(self) -> tuple[Node, ...]:
        """The nodes that compute something, in order."""
        return tuple(node for node in self.nodes if node.op == "call_function")

    @cached_property
    def fed(self) -> Mapping[str, Node]:
        """The nodes that come in with the data, by name, in order."""
        named = {node.name: node for node in self.nodes}
        return {name: named[name] for name in self.inputs}

    @property
    def device(self) -> torch.device:
        """Where the model lives: its first tensor, as `inference.device_of` says, without a walk over its modules."""
        first = next((self.bound[node] for node in self.bound if node.name in self.tensors), None)
        return device_of(self.model) if first is None else first.device

    @property
    def has_constants(self) -> bool:
        """Whether the graph holds values that are neither inputs nor the model's named tensors."""
        return any(node.name not in self.tensors for node in self.bound)

    def without_model(self) -> "Traced":
        """The graph alone: it keeps no weights alive, and can be bound to a model built alike."""
        return replace(self, model=nn.Identity(), bound={})

    def on(self, model: nn.Module) -> "Traced":
        """The graph of another model that is built alike; constants stay as they are."""
        state = _state(model)
        own = {node: state[self.tensors[node.name]] for node in self.nodes if node.name in self.tensors}
        return replace(self, model=model, bound={**self.bound, **own})

    def run(self, arguments: Arguments, around: Around | None = None) -> Any:
        """The model's output; `around` gets every operator's node, arguments and function, and gives its value."""
        walk = Walk(self, arguments)
        for node in walk:
            args = walk.arguments(node)
            walk.set(node, walk.operator(node)(*args) if around is None else around(node, args, walk.operator(node)))
        return walk.output


class Walk:
    """One run through a graph, operator by operator: iterate over the nodes, and `set` each one."""

    def __init__(self, traced: Traced, arguments: Arguments):
        self.output: Any = None
        self._traced = traced
        self._env = dict(traced.bound) | _fed(traced, arguments)

    def __iter__(self) -> Iterator[Node]:
        spent = self._traced.spent
        for node in self._traced.calls:
            yield node
            for source in spent.get(node, ()):
                del self._env[source]
        outputs = [self._of(arg) for arg in self._traced.nodes[-1].args[0]]  # type: ignore[union-attr]
        self.output = pytree.tree_unflatten(outputs, self._traced.structure)

    def arguments(self, node: Node) -> tuple[Any, ...]:
        """The values of a node's positional arguments."""
        env = self._env
        return tuple([env[arg] if type(arg) is Node else self._of(arg) for arg in node.args])

    def knows(self, node: Node) -> bool:
        """Whether a node's value is at hand, or follows from values at hand without any of the model's tensors."""
        if node in self._env:
            return node.name not in self._traced.tensors
        return node.op == "call_function" and all(self.knows(source) for source in node.all_input_nodes)

    def value(self, node: Node) -> Any:
        """What a node that is known has given, or will give."""
        if node in self._env:
            return self._env[node]
        ahead = {source: self.value(source) for source in node.all_input_nodes}
        args = map_arg(node.args, lambda source: ahead[source])
        return self.operator(node)(*args)

    def operator(self, node: Node) -> Operator:
        """A node's function of its positional arguments."""
        if node.target is torch.ops.aten.view.default:
            return torch.reshape  # kernels may lay out what they give otherwise than while tracing
        if not node.kwargs:
            return node.target  # type: ignore[return-value]
        kwargs = {key: self._of(value) for key, value in node.kwargs.items()}
        return lambda *args: node.target(*args, **kwargs)  # type: ignore[operator]

    def set(self, node: Node, value: Any) -> None:
        """Say what a node gives."""
        self._env[node] = value

    def _of(self, arg: Any) -> Any:
        match arg:
            case Node():
                return self._env[arg]
            case list() | tuple():
                return [self._of(part) for part in arg]
        return arg


def traced_of(model: nn.Module, program: ExportedProgram, keywords: tuple[str, ...]) -> Traced:
    """The graph of an exported model, bound to the model's own tensors."""
    specs = program.graph_signature.input_specs
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    tensors = {spec.arg.name: str(spec.target) for spec in specs if spec.kind in kinds}
    inputs = tuple(spec.arg.name for spec in specs if spec.kind == InputKind.USER_INPUT)
    state = _state(model)
    fixed = {spec.arg.name: spec.arg.value for spec in specs if isinstance(spec.arg, ConstantArgument)}
    constants = {s.arg.name: program.constants[str(s.target)] for s in specs if s.arg.name not in (*tensors, *inputs)}
    nodes = tuple(program.graph.nodes)
    bound: dict[Node, Any] = {}
    for node in nodes:
        if node.name in tensors:
            bound[node] = state[tensors[node.name]]
        elif node.name in constants:
            bound[node] = constants[node.name]
        elif node.op == "get_attr":
            bound[node] = attrgetter(str(node.target))(program.graph_module)
    structure = program.call_spec.out_spec
    return Traced(model, nodes, tensors, inputs, bound, _spent(nodes), structure, keywords, fixed)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, by every name they have."""
    return dict(chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)))


def operator_of(node: Node) -> str:
    """An operator's short name: `linear`, `batch_norm`."""
    target = node.target
    if target is getitem:
        return "getitem"
    return target._schema.name.split("::")[-1] if isinstance(target, torch._ops.OpOverload) else str(node.name)


def shape_of(node: Node) -> tuple[int, ...] | None:
    """The shape of what a node gives, for the example's number of rows; None where that is no tensor."""
    value = node.meta.get("val")
    return _shape(value) if isinstance(value, Tensor) else None


def shapes_of(node: Node) -> tuple[tuple[int, ...], ...]:
    """The shapes of what a node gives, where that is several tensors."""
    value = node.meta.get("val")
    several = value if isinstance(value, list | tuple) else ()
    return tuple(_shape(part) if isinstance(part, Tensor) else () for part in several)


def number_of(node: Node) -> int | None:
    """The whole number that a node gives for the example (a size that depends on the batch), if it gives one."""
    value = node.meta.get("val")
    return int(value.node.hint) if isinstance(value, torch.SymInt) else value if isinstance(value, int) else None


def module_of(node: Node) -> str:
    """The name of the module whose forward a node stands in, the innermost one."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _shape(value: Tensor) -> tuple[int, ...]:
    sizes: list[Any] = list(value.shape)
    return tuple(int(size.node.hint) if isinstance(size, torch.SymInt) else int(size) for size in sizes)


def _spent(nodes: tuple[Node, ...]) -> dict[Node, tuple[Node, ...]]:
    """For every node, the values that nobody needs after it."""
    last: dict[Node, Node] = {}
    for node in nodes:
        for source in node.all_input_nodes:
            last[source] = node
    spent: dict[Node, tuple[Node, ...]] = {}
    for source, node in last.items():
        spent[node] = (*spent.get(node, ()), source)
    return spent


def _fed(traced: Traced, arguments: Arguments) -> dict[Node, Any]:
    """The graph's inputs bound to a call's arguments.

    Raises:
        DataError: the arguments are not like those that the model was traced with.
    """
    args, kwargs = arguments
    place = type(traced.model).__name__
    if set(kwargs) != set(traced.keywords):
        found, known = (", ".join(sorted(names)) or "none" for names in (kwargs, traced.keywords))
        raise DataError(
            f"{place}: keyword arguments {found}, but the first batch had {known}; give every batch the same."
        )
    flat = [*args, *(kwargs[name] for name in traced.keywords)]
    if not all(isinstance(value, Tensor) for value in flat):
        flat = pytree.tree_leaves(flat)
    if len(flat) != len(traced.inputs):
        raise DataError(
            f"{place}: {len(flat)} inputs, but the first batch had {len(traced.inputs)}; give every batch as many."
        )
    given = dict(zip(traced.inputs, flat, strict=True))
    for name, expected in traced.fixed.items():
        if name in given and given[name] != expected:
            raise DataError(
                f"{place}: {name} is {given[name]}, after {expected}; give it as a tensor if it may change."
            )
    device = traced.device
    return {traced.fed[name]: moved(value, device) for name, value in given.items()}
