"""What a model computes, as a graph: its sites, its costs, and a way to watch it run operator by operator."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from secateur.coupling import Call, Coupling, Flow, Value, follow, sites_of
from secateur.errors import ModelError
from secateur.inference import device_of, evaluating, moved
from secateur.sites import Sites, TensorCost
from secateur.task import Arguments, Task

Example = Tensor | tuple[Any, ...] | dict[str, Any] | Task
Operator = Callable[..., Any]
Around = Callable[[Node, tuple[Any, ...], Operator], Any]

_MULTIPLIES = {"linear", "matmul", "mm", "addmm"}
_UNCOUNTED = ("conv", "matmul", "bmm", "attention", "einsum", "lstm", "gru", "rnn")


@dataclass(frozen=True)
class Traced:
    """A model's graph in eval mode with a free batch size.

    `tensors` maps placeholder nodes to the names of the model's parameters and buffers, `bound` nodes to what does not
    come in with the data: the model's own tensors, so that changing them in place is seen. `spent` says which values
    nobody needs after a node.
    """

    model: nn.Module
    nodes: tuple[Node, ...]
    tensors: Mapping[str, str]
    inputs: tuple[str, ...]
    bound: Mapping[Node, Any]
    spent: Mapping[Node, tuple[Node, ...]]
    structure: pytree.TreeSpec

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
        for node in self._traced.nodes:
            if node.op == "call_function":
                yield node
                for spent in self._traced.spent.get(node, ()):
                    del self._env[spent]
            elif node.op == "output":
                outputs = [self._of(arg) for arg in node.args[0]]  # type: ignore[union-attr]
                self.output = pytree.tree_unflatten(outputs, self._traced.structure)

    def arguments(self, node: Node) -> tuple[Any, ...]:
        """The values of a node's positional arguments."""
        return tuple(self._of(arg) for arg in node.args)

    def knows(self, node: Node) -> bool:
        """Whether a node has run and its value is still needed."""
        return node in self._env

    def value(self, node: Node) -> Any:
        """What a node that is still needed has given."""
        return self._env[node]

    def operator(self, node: Node) -> Operator:
        """A node's function of its positional arguments."""
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


def trace(model: nn.Module, example: Example) -> Traced:
    """The model's graph, traced in eval mode on an example; the model is left as found.

    Raises:
        ModelError: the model holds NaN, fails on the example, or cannot be traced.
    """
    return trace_on(model, arguments_of_example(example))


def trace_on(model: nn.Module, arguments: Arguments) -> Traced:
    """The model's graph, traced on positional and keyword arguments; see `trace`."""
    check_weights(model)
    args, kwargs = _doubled(arguments, device_of(model))
    with evaluating(model) as predict:
        wanted = _first_tensor(predict((args, kwargs)))
        traced = _traced(model, _exported(model, args, kwargs))
        found = _first_tensor(traced.run((args, kwargs)))
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ModelError(
            f"{type(model).__name__}: its graph does not compute what the model does (random or changing state in "
            "forward?); make forward a function of its inputs in eval mode."
        )
    return traced


def find_sites(model: nn.Module, example: Example) -> Sites:
    """Every place in the model where units can be removed, what is pinned and by which operator, and what it costs.

    Raises:
        ModelError: the model cannot be traced, or nothing at all can be removed; the message lists why.
    """
    return sites_in(trace(model, example))


def sites_in(traced: Traced) -> Sites:
    """The sites of a traced model; see `find_sites`."""
    coupling = Coupling()
    flow = _flow(traced, coupling)
    sites, pinned = sites_of(coupling, flow)
    if not sites:
        why = "; ".join(f"{p.name}: {p.units} units, {p.operator} ({p.reason})" for p in pinned[:5])
        raise ModelError(f"{type(traced.model).__name__}: nothing can be removed: {why or 'it has no hidden units'}.")
    return Sites(sites, pinned, _costs(traced))


def count(model: nn.Module, example: Example) -> tuple[tuple[TensorCost, ...], tuple[str, ...]]:
    """What every tensor costs for one row of the example, and the operators that were not counted."""
    traced = trace(model, example)
    operators = {operator_of(node) for node in traced.nodes if node.op == "call_function"} - _MULTIPLIES
    products = {operator_of(n) for n in traced.nodes if operator_of(n) in _MULTIPLIES and _weight_of(n, traced) is None}
    return _costs(traced), tuple(sorted(products | {o for o in operators if any(part in o for part in _UNCOUNTED)}))


def check_weights(model: nn.Module) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        ModelError: names the first such tensor.
    """
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; train the model anew.")


def arguments_of_example(example: Example) -> Arguments:
    """A model's arguments, from a tensor, a tuple, a dict or a task."""
    match example:
        case Task():
            return example.example()
        case dict():
            return (), example
        case tuple():
            return example, {}
    return (example,), {}


def operator_of(node: Node) -> str:
    """An operator's short name: `linear`, `batch_norm`."""
    target = node.target
    return target._schema.name.split("::")[-1] if isinstance(target, torch._ops.OpOverload) else str(node.name)


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    shapes = pytree.tree_map(lambda v: {0: Dim.AUTO} if isinstance(v, Tensor) and v.dim() else None, (args, kwargs))
    try:
        named = {"dynamic_shapes": (*shapes[0], *shapes[1].values())} if args or kwargs else {}
        return torch.export.export(model, args, kwargs, strict=False, **named)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{type(model).__name__}: torch.export cannot follow its forward: {first}; "
            "take decisions that depend on the data's values out of forward."
        ) from error


def _traced(model: nn.Module, program: ExportedProgram) -> Traced:
    specs = program.graph_signature.input_specs
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    tensors = {spec.arg.name: str(spec.target) for spec in specs if spec.kind in kinds}
    inputs = tuple(spec.arg.name for spec in specs if spec.kind == InputKind.USER_INPUT)
    state = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}
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
    return Traced(model, nodes, tensors, inputs, bound, _spent(nodes), program.call_spec.out_spec)


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
    """The graph's inputs bound to a call's arguments."""
    device = device_of(traced.model)
    args, kwargs = arguments
    flat = iter(pytree.tree_flatten((tuple(args), dict(kwargs)))[0])
    return {node: moved(next(flat), device) for node in traced.nodes if node.name in traced.inputs}


def _flow(traced: Traced, coupling: Coupling) -> Flow:
    """Walk the graph with the rules."""
    values: dict[str, Value] = {}
    for node in traced.nodes:
        if node.op == "output":
            coupling.pin_all(_known(node, values), "output", "the network's output")
        elif node.op == "placeholder" and node.name in traced.tensors:
            values[node.name] = coupling.tensor(_shape(node) or ())
        elif node.op == "call_function" and (shape := _shape(node)) is not None:
            values[node.name] = follow(coupling, _call(node, values, traced, shape))
        elif (shape := _shape(node)) is not None:
            values[node.name] = Value(shape)
        elif node.op == "call_function":
            coupling.pin_all(_known(node, values), operator_of(node), "no rule for this operator")
    return Flow(
        values=values,
        sources={node.name: tuple(source.name for source in node.all_input_nodes) for node in traced.nodes},
        tensors=_first_names(traced, values),
        inputs=traced.inputs,
        output=traced.nodes[-1].name,
    )


def _first_names(traced: Traced, values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: values[placeholder] for placeholder, name in traced.tensors.items()}


def _known(node: Node, values: Mapping[str, Value]) -> list[Value]:
    return [values[source.name] for source in node.all_input_nodes if source.name in values]


def _call(node: Node, values: Mapping[str, Value], traced: Traced, shape: tuple[int, ...]) -> Call:
    def value(arg: Any) -> Any:
        match arg:
            case Node():
                return values.get(arg.name)
            case list() | tuple():
                return [value(part) for part in arg]
        return arg

    names = tuple(traced.tensors.get(arg.name) if isinstance(arg, Node) else None for arg in node.args)
    args = tuple(value(arg) for arg in (*node.args, *node.kwargs.values()))
    return Call(node.name, operator_of(node), args, shape, names)


def _shape(node: Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return None
    return tuple(int(size.node.hint) if isinstance(size, torch.SymInt) else int(size) for size in value.shape)


def _costs(traced: Traced) -> tuple[TensorCost, ...]:
    """Every tensor's shape, and how many multiply-adds each entry does for one row of the example."""
    macs: dict[str, float] = defaultdict(float)
    rows = max(_shape(node)[0] for node in traced.nodes if node.name in traced.inputs and _shape(node))  # type: ignore[index]
    for node in traced.nodes:
        weight = _weight_of(node, traced)
        if weight is not None:
            out = _shape(node) or ()
            macs[weight] += math.prod(out[:-1]) / rows
    parameters = {name for name, _ in traced.model.named_parameters(remove_duplicate=False)}
    shapes = {name: tuple(t.shape) for name, t in traced.model.state_dict(keep_vars=True).items()}
    shapes |= {name: tuple(t.shape) for name, t in traced.model.named_parameters()}
    return tuple(TensorCost(n, shape, macs[n], n in parameters) for n, shape in shapes.items())


def _weight_of(node: Node, traced: Traced) -> str | None:
    """The parameter that a product multiplies by, where it is one."""
    if node.op != "call_function" or operator_of(node) not in _MULTIPLIES:
        return None
    place = 2 if operator_of(node) == "addmm" else 1
    weight = node.args[place]
    while isinstance(weight, Node) and operator_of(weight) in ("t", "transpose", "permute", "numpy_T"):
        weight = weight.args[0]
    return traced.tensors.get(weight.name) if isinstance(weight, Node) else None


def _doubled(arguments: Arguments, device: torch.device) -> Arguments:
    """At least two rows: a batch of one would be taken for a size that never changes."""

    def doubled(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.to(device)
        return torch.cat([value, value]) if value.dim() and len(value) == 1 else value

    args, kwargs = arguments
    return tuple(doubled(a) for a in args), {key: doubled(v) for key, v in kwargs.items()}


def _first_tensor(output: Any) -> Tensor:
    flat = [value for value in pytree.tree_flatten(output)[0] if isinstance(value, Tensor)]
    if not flat:
        raise ModelError("the model's output holds no tensor; return one, or a dict or tuple of them.")
    return flat[0]
