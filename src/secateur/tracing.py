"""From a model to its graph, its sites and its costs."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from secateur import graphcache
from secateur.costs import costs_of, origin_of, rows_of
from secateur.coupling import Call, Coupling, Flow, Value, follow, groups_of, sites_of, works_of
from secateur.coupling.counts import GROUPS, OUTPUTS, SIZES
from secateur.einsums import Unfolded
from secateur.errors import ModelError, PlanError, first_line
from secateur.graph import Traced, module_of, number_of, operator_of, shape_of, shapes_of, traced_of
from secateur.inference import Predict, device_of, evaluating
from secateur.plan import Plan
from secateur.programs import FAILURES, NO_VALUES, check_sizes, has_tokens, in_code, quiet, reason_of, unfused_attention
from secateur.sites import Pinned, Sites, TensorCost
from secateur.soundness import baked, check_inputs, check_model, described
from secateur.task import Arguments, Task, tensors_in

Example = Tensor | tuple[Any, ...] | dict[str, Any] | Task


@runtime_checkable
class Found(Protocol):
    """What gives the sites of a model, whose sizes go by usual names or by any."""

    def __call__(self, *, any_name: bool) -> Sites:
        """The sites."""


_SAME = 1e-12  # of the largest entry: what the order of a sum may change in float64
_SIZE_QUESTIONS = {"sym_size", "sym_numel", "sym_stride"}
_SHAPES = frozenset(
    [
        *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "split", "split_with_sizes", "chunk", "expand"),
        *("permute", "transpose", "addmm", "scaled_dot_product_attention", "instance_norm"),
    ]
)


def trace(model: nn.Module, example: Example) -> Traced:
    """The model's graph, traced in eval mode on an example; the model is left as found.

    Raises:
        ModelError: the model holds NaN, fails on the example, or cannot be traced.
    """
    return trace_on(model, arguments_of_example(example))


def trace_on(model: nn.Module, arguments: Arguments) -> Traced:
    """The model's graph, traced on positional and keyword arguments; see `trace`."""
    check_model(model)
    check_inputs(model, arguments)
    args, kwargs = given = _copied(arguments, device_of(model))
    key = graphcache.key_of(model, given)
    with evaluating(model) as predict:
        wanted = _answered(model, predict, given, arguments)
        traced = graphcache.recall(key, model)
        if traced is not None and _computes(traced, given, wanted):
            return traced
        traced = traced_of(model, _exported(model, args, kwargs), tuple(kwargs))
        if not _computes(traced, given, wanted):
            raise ModelError(
                f"{type(model).__name__}: its graph does not compute what the model does (random or changing state in "
                "forward?); make forward a function of its inputs in eval mode."
            )
    graphcache.keep(key, traced)
    return traced


def retraced(traced: Traced, model: nn.Module, arguments: Arguments, outputs: Sequence[Tensor]) -> Traced:
    """The graph of a copy in float64: the same where it gives what the copy has put out, or else traced anew."""
    alike = traced.on(model)
    with evaluating(model):
        try:
            found = tensors_in(alike.run(arguments))
        except FAILURES:  # it holds the other precision
            return trace_on(model, arguments)
    is_alike = len(found) == len(outputs) and all(map(_are_same, found, outputs))
    return alike if is_alike else trace_on(model, arguments)


def sites_in(traced: Traced, *, whole_heads: bool = False) -> Sites:
    """Every place in a traced model where units can be removed, what is pinned by which operator, and what it costs.

    Raises:
        ModelError: nothing at all can be removed (the message lists why), or the data decide how large a tensor is.
    """
    return grouped(traced, whole_heads=whole_heads)(any_name=False)


def grouped(traced: Traced, *, whole_heads: bool = False) -> Found:
    """A function that gives what `sites_in` does.

    `any_name` takes every number on a module that equals a size for that size, not just those of usual names.

    Raises:
        ModelError: as `sites_in`.
    """
    check_sizes(traced.model, traced.nodes)
    coupling = Coupling(whole_heads=whole_heads)
    flow = _flow(traced, coupling)
    groups = groups_of(coupling, flow)
    if not groups.sites:
        raise nothing_left(traced.model, groups.pinned)
    rows = rows_of(traced)
    works = tuple(TensorCost(name, shape, macs / rows, is_parameter=False) for name, shape, macs in works_of(coupling))
    costs = (*costs_of(traced), *works)

    def found(*, any_name: bool) -> Sites:
        numbers = {name: _sizes_on(module, any_name=any_name) for name, module in traced.model.named_modules()}
        return Sites(sites_of(groups, coupling, replace(flow, numbers=numbers)), groups.pinned, costs)

    return found


def sites_for(traced: Traced, plan: Plan) -> Sites:
    """The sites that a plan was made for: with whole heads as units, or without.

    Raises:
        PlanError: they are not the model's.
    """
    for whole_heads in (False, True):
        sites = sites_in(traced, whole_heads=whole_heads)
        units = {site.name: site.units for site in sites}
        if all(units.get(edit.site) == edit.units for edit in plan.edits if edit.removed):
            return sites
    missing = next(edit for edit in plan.edits if edit.removed and units.get(edit.site) != edit.units)
    raise PlanError(
        f"{missing.site}: the plan has {missing.units} units there, the model {units.get(missing.site, 'no such site')}"
        "; make the plan for this model."
    )


def nothing_left(model: nn.Module, pinned: Sequence[Pinned]) -> ModelError:
    """The refusal of a model in which nothing can be removed."""
    why = "; ".join(f"{p.name}: {p.units} units, {p.operator} ({p.reason})" for p in pinned[:5])
    return ModelError(
        f"{type(model).__name__}: nothing can be removed: {why or 'it has no hidden units'}.{baked(model)}"
    )


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


def _answered(model: nn.Module, predict: Predict, given: Arguments, example: Arguments) -> list[Tensor]:
    """The tensors in a model's output on a copy of the example."""
    place = type(model).__name__
    try:
        answer = tensors_in(predict(given))
    except FAILURES as error:
        remedy = f"give inputs as the model is called, not {described(example)}."
        raise ModelError(f"{place}: fails on the example: {first_line(error)}{in_code(error)}; {remedy}") from error
    if not answer:
        raise ModelError(f"{place}: its output holds no tensor; return one, or a dict or tuple of them.")
    if any(tensor._version for tensor in tensors_in(given)):
        raise ModelError(f"{place}: its forward changes its input in place; let it change a copy (x = x.clone()).")
    return answer


def _computes(traced: Traced, given: Arguments, wanted: Sequence[Tensor]) -> bool:
    """Whether the graph gives what the model has given."""
    found = tensors_in(traced.run(given))
    return len(found) == len(wanted) and all(_are_close(f, w) for f, w in zip(found, wanted, strict=True))


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExportedProgram:
    bound = dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)
    shapes = pytree.tree_map(_free, bound)
    try:
        with quiet(), unfused_attention(), Unfolded():
            return torch.export.export(model, args, kwargs, strict=False, dynamic_shapes=shapes or None)
    except FAILURES as error:
        raise ModelError(
            f"{type(model).__name__}: torch.export cannot follow its forward: {reason_of(error)}{in_code(error)}; "
            f"{NO_VALUES}"
        ) from error


def _free(value: Any) -> dict[int, Any] | None:
    """The sizes of an input that may change: its rows, and its tokens where it holds whole numbers or a mask."""
    if not isinstance(value, Tensor) or not value.dim():
        return None
    return {0: Dim.AUTO, 1: Dim.AUTO} if has_tokens(value) else {0: Dim.AUTO}


def _flow(traced: Traced, coupling: Coupling) -> Flow:
    """Walk the graph with the rules; the modules' numbers are left out."""
    values: dict[str, Any] = {}
    for node in traced.nodes:
        shape, shapes = shape_of(node), shapes_of(node)
        if node.op == "output":
            coupling.pin_all(_known(node, values), "output", "the network's output")
        elif node.op == "placeholder" and node.name in traced.tensors:
            values[node.name] = coupling.tensor(shape or ())
        elif node.op == "call_function" and (shape is not None or shapes):
            values[node.name] = follow(coupling, _call(node, values, traced, (shape or (), shapes)))
        elif shape is not None:
            values[node.name] = Value(shape)
        elif node.op == "call_function" and not _asks(operator_of(node)):
            coupling.pin_all(_known(node, values), operator_of(node), "no rule for this operator")
    return Flow(
        values={name: value for name, value in values.items() if isinstance(value, Value)},
        sources={node.name: tuple(_sources(node)) for node in traced.nodes},
        tensors={name: values[placeholder] for placeholder, name in traced.tensors.items()},
        inputs=traced.inputs,
        output=traced.nodes[-1].name,
        modules={node.name: module_of(node) for node in traced.nodes},
        shaped={node.name: operator for node in traced.nodes if (operator := operator_of(node)) in _SHAPES},
        numbers={},
    )


def _sources(node: Node) -> Iterator[str]:
    """What a node's value follows from; a size is no data."""
    for source in node.all_input_nodes:
        if not isinstance(source.meta.get("val"), torch.SymInt):
            yield source.name


def _asks(operator: str) -> bool:
    """Whether an operator only asks for a tensor's size or type, or checks it."""
    return operator in _SIZE_QUESTIONS or operator.startswith("_assert")


def _sizes_on(module: nn.Module, *, any_name: bool) -> dict[str, int]:
    """The sizes that a module holds as plain numbers, by the names that are usual for them, or by any."""
    names = vars(module) if any_name else (*SIZES, *OUTPUTS, *GROUPS)
    return {name: number for name in names if type(number := vars(module).get(name)) is int}


def _known(node: Node, values: Mapping[str, Any]) -> list[Value]:
    known = [values[source.name] for source in node.all_input_nodes if source.name in values]
    return [value for several in known for value in (several if isinstance(several, list) else [several])]


def _call(node: Node, values: Mapping[str, Any], traced: Traced, shapes: tuple[Any, Any]) -> Call:
    def value(arg: Any) -> Any:
        match arg:
            case Node():
                return values.get(arg.name, number_of(arg))
            case list() | tuple():
                return [value(part) for part in arg]
        return arg

    names = tuple(traced.tensors.get(arg.name) if isinstance(arg, Node) else None for arg in node.args)
    args = tuple(value(arg) for arg in node.args)
    kwargs = {name: value(arg) for name, arg in node.kwargs.items()}
    origins = tuple(origin_of(arg, traced) for arg in node.args)
    return Call(node.name, operator_of(node), args, shapes[0], names, kwargs, shapes[1], origins)


def _copied(arguments: Arguments, device: torch.device) -> Arguments:
    """Tensors copied; where all are of one row, it is doubled: one would be taken for a size that never changes."""
    is_one = all(len(tensor) == 1 for tensor in tensors_in(arguments) if tensor.dim())

    def copied(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        value = value.detach().to(device)
        return torch.cat([value, value]) if value.dim() and is_one else value.clone()

    doubled: Arguments = pytree.tree_map(copied, arguments)
    return doubled


def _are_close(found: Tensor, wanted: Tensor) -> bool:
    if not wanted.is_floating_point():
        return torch.equal(found, wanted)
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-5, equal_nan=True)


def _are_same(found: Tensor, wanted: Tensor) -> bool:
    """Whether two values differ by far less than a certificate in float64 lets pass."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape or not wanted.is_floating_point():
        return torch.equal(found, wanted)
    finite = wanted[wanted.isfinite()].abs()
    return torch.allclose(
        found, wanted, rtol=0.0, atol=_SAME * float(finite.max() if len(finite) else 0.0), equal_nan=True
    )
