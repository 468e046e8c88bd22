"""A module of its own for every call of an activation in one module's forward."""

import copy
from collections import Counter
from dataclasses import dataclass
from itertools import count

import torch
import torch.nn.functional as F
from torch import fx, nn

from secateur.depth.forwards import forward_of, run_by
from secateur.depth.parts import KINDS, RECTIFIERS, built
from secateur.errors import ModelError, PlanError
from secateur.plan import Part, Untie
from secateur.sites import Activation

_AGAIN = "make the plan for this model."


@dataclass(frozen=True)
class _Call:
    """One call that gets a module of its own: what it reads, that module, and of what module or operator it was."""

    node: fx.Node
    source: fx.Node
    module: nn.Module
    of: nn.Module | str


def changes_for(model: nn.Module, activation: Activation) -> tuple[tuple[Untie, ...], str]:
    """What has to be done to a model so that a module computes one activation alone, and the path of that module.

    Nothing is done yet. Raises:
        ModelError: the forward that calls it cannot be followed, or calls it otherwise than the graph.
        PlanError: the model has no such module.
    """
    if activation.module and activation.name == activation.module:  # the only call through this path
        return (), activation.module
    owner = _module(model, activation.owner)
    place = activation.owner or type(model).__name__
    calls = _calls(owner, forward_of(owner, place))
    own: nn.Module | str = _module(model, activation.module) if activation.module else activation.operator
    places = [number for number, call in enumerate(calls) if call.of == own]
    names = _names(owner, calls)
    if activation.call >= len(places) or (not activation.module and len(places) != activation.calls):
        raise ModelError(
            f"{activation.name}: its call is not among the {len(places)} that the forward of {place} makes; give every "
            "call of an activation a module of its own there, or find the activations anew."
        )
    path = ".".join(part for part in (activation.owner, names[places[activation.call]]) if part)
    return (Untie(activation.owner, names),), path


def untie_(model: nn.Module, change: Untie) -> None:
    """Give every call of an activation in a module's own forward a module of its own, in place.

    Only the owner's class changes: to one derived from it, of the same name, with another forward. An owner that is
    untied already stays as it is.

    Raises:
        ModelError: the forward cannot be followed.
        PlanError: the model has no such module, or another number of calls.
    """
    owner = _module(model, change.owner)
    place = change.owner or type(model).__name__
    graph = forward_of(owner, place)
    calls = _calls(owner, graph)
    if not calls and set(change.names) <= dict(owner.named_children()).keys():
        return
    _check_names(owner, change, calls, place)
    for name, call in zip(change.names, calls, strict=True):
        owner.add_module(name, call.module.train(owner.training))
        with graph.inserting_before(call.node):
            call.node.replace_all_uses_with(graph.call_module(name, (call.source,)))
        graph.erase_node(call.node)
    run_by(owner, graph)


def _check_names(owner: nn.Module, change: Untie, calls: list[_Call], place: str) -> None:
    wrong = [name for name in change.names if not name.isidentifier() or name in dir(owner)]
    if len(calls) != len(change.names) or wrong:
        found = f"{wrong[0]!r} is taken or no name" if wrong else f"there are {len(calls)} calls"
        raise PlanError(f"{place}: the plan tells {len(change.names)} calls apart there, but {found}; {_AGAIN}")


def _module(model: nn.Module, path: str) -> nn.Module:
    module = dict(model.named_modules(remove_duplicate=False)).get(path)
    if module is None:
        raise PlanError(f"{path}: {type(model).__name__} has no such module; {_AGAIN}")
    return module


def _calls(owner: nn.Module, graph: fx.Graph) -> list[_Call]:
    """The calls that get modules of their own: of functions and methods, and of modules that are called again."""
    modules = dict(owner.named_modules(remove_duplicate=False))
    times = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    calls = []
    for node in graph.nodes:
        source = node.args[0] if node.args else node.kwargs.get("input")
        if node.op == "call_module":
            module = modules[node.target]
            if times[id(module)] > 1 and _may_be_rectifier(module):
                calls.append(_Call(node, source, copy.deepcopy(module), module))
        elif node.op in ("call_function", "call_method") and isinstance(source, fx.Node):
            part = _part_of_call(node)
            if part is not None:
                calls.append(_Call(node, source, built(part), part.kind))
    return calls


def _may_be_rectifier(module: nn.Module) -> bool:
    """Whether a module is a rectifier as far as is known without running it: without state, and no other of torch's."""
    has_state = any(True for _ in module.parameters()) or any(True for _ in module.buffers())
    is_of_torch = type(module).__module__.startswith("torch.nn.")
    return not has_state and (type(module) in (KINDS[kind] for kind in RECTIFIERS) or not is_of_torch)


def _part_of_call(node: fx.Node) -> Part | None:
    """A call of a function or a tensor's method as a module; None where it is no rectifier that a module can be."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op == "call_function" and node.target not in (getattr(F, name, None), getattr(torch, name, None)):
        return None
    kind = name.removesuffix("_")
    names = ("min_val", "max_val", "inplace") if kind == "hardtanh" else RECTIFIERS.get(kind, ())
    given = dict(zip(names, node.args[1:], strict=False)) | {key: v for key, v in node.kwargs.items() if key != "input"}
    if kind == "hardtanh" and (given.pop("min_val", -1), given.pop("max_val", 1)) == (0, 6):
        kind = "relu6"
    if name.endswith("_"):
        given["inplace"] = True
    is_known = kind in RECTIFIERS and given.keys() <= set(RECTIFIERS[kind]) and len(node.args) <= 1 + len(names)
    settings = {key: value for key, value in given.items() if isinstance(value, int | float | str)}
    return Part(kind, settings) if is_known and len(settings) == len(given) else None


def _names(owner: nn.Module, calls: list[_Call]) -> tuple[str, ...]:
    """A name in the owner for every call, after the module or the operator that it is a call of, numbered from 1."""
    names: list[str] = []
    for call in calls:
        base = call.of if isinstance(call.of, str) else str(call.node.target).replace(".", "_")
        base = base if base.isidentifier() else f"call_{base}"
        numbered = (f"{base}_{number}" for number in count(1))
        names.append(next(name for name in numbered if name not in names and name not in dir(owner)))
    return tuple(names)
