"""From a model to its graph, its sites and its costs."""

import inspect
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from secateur.coupling import Call, Coupling, Flow, Value, follow, sites_of
from secateur.errors import ModelError, first_line
from secateur.graph import Traced, operator_of, shape_of, tensors_in, traced_of
from secateur.inference import Predict, device_of, evaluating
from secateur.programs import quiet
from secateur.sites import Sites, TensorCost
from secateur.task import Arguments, Task

Example = Tensor | tuple[Any, ...] | dict[str, Any] | Task

_MULTIPLIES = {"linear", "matmul", "mm", "addmm"}
_TURNS = {"t", "transpose", "permute", "numpy_T", "mT"}
_UNCOUNTED = ("conv", "matmul", "bmm", "attention", "einsum", "lstm", "gru", "rnn")


def trace(model: nn.Module, example: Example) -> Traced:
    """The model's graph, traced in eval mode on an example; the model is left as found.

    Raises:
        ModelError: the model holds NaN, fails on the example, or cannot be traced.
    """
    return trace_on(model, arguments_of_example(example))


def trace_on(model: nn.Module, arguments: Arguments) -> Traced:
    """The model's graph, traced on positional and keyword arguments; see `trace`."""
    check_weights(model)
    args, kwargs = given = _copied(arguments, device_of(model))
    with evaluating(model) as predict:
        wanted = _answered(model, predict, given)
        traced = traced_of(model, _exported(model, args, kwargs), tuple(kwargs))
        found = tensors_in(traced.run(given))
    if not all(_are_close(f, w) for f, w in zip(found, wanted, strict=True)):
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
    """Refuse weights that are NaN or infinite, or that have no values yet.

    Raises:
        ModelError: names the first such tensor.
    """
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and (nn.parameter.is_lazy(tensor) or tensor.is_meta):
            raise ModelError(f"{name}: has no values yet; run the model once, on a device other than meta, first.")
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


def _answered(model: nn.Module, predict: Predict, given: Arguments) -> list[Tensor]:
    """The tensors in a model's output on a copy of the example."""
    place = type(model).__name__
    try:
        answer = tensors_in(predict(given))
    except (RuntimeError, TypeError, ValueError, LookupError) as error:
        remedy = "give inputs as the model is called."
        raise ModelError(f"{place}: fails on the example: {first_line(error)}; {remedy}") from error
    if not answer:
        raise ModelError(f"{place}: its output holds no tensor; return one, or a dict or tuple of them.")
    if any(tensor._version for tensor in tensors_in(given)):
        raise ModelError(f"{place}: its forward changes its input in place; let it change a copy (x = x.clone()).")
    return answer


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    bound = dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)
    shapes = pytree.tree_map(lambda v: {0: Dim.AUTO} if isinstance(v, Tensor) and v.dim() else None, bound)
    try:
        with quiet():
            return torch.export.export(model, args, kwargs, strict=False, dynamic_shapes=shapes or None)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"{type(model).__name__}: torch.export cannot follow its forward: {first_line(error)}; "
            "take decisions that depend on the data's values out of forward."
        ) from error


def _flow(traced: Traced, coupling: Coupling) -> Flow:
    """Walk the graph with the rules."""
    values: dict[str, Value] = {}
    for node in traced.nodes:
        if node.op == "output":
            coupling.pin_all(_known(node, values), "output", "the network's output")
        elif node.op == "placeholder" and node.name in traced.tensors:
            values[node.name] = coupling.tensor(shape_of(node) or ())
        elif node.op == "call_function" and (shape := shape_of(node)) is not None:
            values[node.name] = follow(coupling, _call(node, values, traced, shape))
        elif (shape := shape_of(node)) is not None:
            values[node.name] = Value(shape)
        elif node.op == "call_function":
            coupling.pin_all(_known(node, values), operator_of(node), "no rule for this operator")
    return Flow(
        values=values,
        sources={node.name: tuple(source.name for source in node.all_input_nodes) for node in traced.nodes},
        tensors={name: values[placeholder] for placeholder, name in traced.tensors.items()},
        inputs=traced.inputs,
        output=traced.nodes[-1].name,
    )


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
    named = tuple(given for arg in node.kwargs.values() if isinstance(given := value(arg), Value))
    return Call(node.name, operator_of(node), tuple(value(arg) for arg in node.args), shape, names, named)


def _costs(traced: Traced) -> tuple[TensorCost, ...]:
    """Every tensor's shape, and how many multiply-adds each entry does for one row of the example."""
    macs: dict[str, float] = defaultdict(float)
    shapes = [shape_of(node) for node in traced.nodes if node.name in traced.inputs]
    rows = max((shape[0] for shape in shapes if shape), default=1)
    tensors = _named_once(traced)
    for node in traced.nodes:
        weight = _weight_of(node, traced)
        if weight is not None:
            macs[weight] += math.prod((shape_of(node) or ())[:-1]) / rows
    return tuple(TensorCost(n, tuple(t.shape), macs[n], isinstance(t, nn.Parameter)) for n, t in tensors.items())


def _named_once(traced: Traced) -> dict[str, Tensor]:
    """All parameters and buffers, tied ones once, by the name that the graph uses."""
    placeholders = {node.name: node for node in traced.nodes if node.op == "placeholder"}
    used = {name for placeholder, name in traced.tensors.items() if placeholders[placeholder].users}
    tensors = {**traced.model.state_dict(keep_vars=True), **dict(traced.model.named_buffers(remove_duplicate=False))}
    names: dict[int, str] = {}
    for name, tensor in tensors.items():
        if id(tensor) not in names or name in used:
            names[id(tensor)] = name
    return {name: tensors[name] for name in names.values() if isinstance(tensors[name], Tensor)}


def _weight_of(node: Node, traced: Traced) -> str | None:
    """The parameter that a product multiplies by, where it is one."""
    if node.op != "call_function" or operator_of(node) not in _MULTIPLIES:
        return None
    place = 2 if operator_of(node) == "addmm" else 1
    weight = node.args[place]
    while isinstance(weight, Node) and operator_of(weight) in _TURNS:
        weight = weight.args[0]
    return traced.tensors.get(weight.name) if isinstance(weight, Node) else None


def _copied(arguments: Arguments, device: torch.device) -> Arguments:
    """Tensors copied, one row doubled: a batch of one would be taken for a size that never changes."""

    def copied(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.detach().to(device)
        return torch.cat([value, value]) if value.dim() and len(value) == 1 else value.clone()

    doubled: Arguments = pytree.tree_map(copied, arguments)
    return doubled


def _are_close(found: Tensor, wanted: Tensor) -> bool:
    if not wanted.is_floating_point():
        return torch.equal(found, wanted)
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
