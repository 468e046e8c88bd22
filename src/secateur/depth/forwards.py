"""A module's own forward as a graph: its submodules are steps, and both of its modes are in it."""

from typing import Any

import torch.utils._pytree as pytree
from torch import fx, nn
from torch.fx.node import map_arg

from secateur.errors import ModelError
from secateur.programs import FAILURES, in_code, reason_of

_REMEDY = "give every call of an activation a module of its own there (self.relu1, self.relu2), or choose another."
_NEITHER = object()
_PLAIN = (int, float, str, bool, type(None))


class _Tracer(fx.Tracer):
    """Goes into no submodule; with `leaving_out`, arguments keep the plain values that they have by default."""

    def __init__(self, *, leaving_out: bool):
        super().__init__()
        self._leaving_out = leaving_out

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002  # the library's names
        return True

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        if kind == "placeholder" and self._leaving_out and args and isinstance(args[0], _PLAIN):
            return args[0]
        return super().create_proxy(kind, target, args, kwargs, *rest, **more)


def forward_of(module: nn.Module, place: str) -> fx.Graph:
    """What a module's own forward does, for both modes: where they differ in a flag alone, it is read when it runs.

    Arguments that have a default stay free where that changes nothing in the way that is taken; else they keep it, and
    cannot be given.

    Raises:
        ModelError: the forward decides by the data's values, or by its mode.
    """
    try:
        fixed = _in_both_modes(module, place, leaving_out=True)
    except ModelError:
        return _in_both_modes(module, place, leaving_out=False)
    try:
        free = _in_both_modes(module, place, leaving_out=False)
    except ModelError:
        return fixed
    return free if _way(free) == _way(fixed) else fixed


def run_by(module: nn.Module, graph: fx.Graph) -> None:
    """Make a graph the forward of a module in place: its class becomes one of the same name, derived from its own."""
    kind = type(module)
    forward = type(fx.GraphModule(module, graph, kind.__name__)).forward
    names = {"forward": forward, **{name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}}
    module.__class__ = type(kind.__name__, (kind,), names)


def _in_both_modes(module: nn.Module, place: str, *, leaving_out: bool) -> fx.Graph:
    mode = module.training
    try:
        module.training = False
        evaluated = _Tracer(leaving_out=leaving_out).trace(module)
        module.training = True
        trained = _Tracer(leaving_out=leaving_out).trace(module)
    except (*FAILURES, NameError) as error:
        raise ModelError(
            f"{place}: the calls of its forward cannot be told apart: {reason_of(error)}{in_code(error)}; {_REMEDY}"
        ) from error
    finally:
        module.training = mode
    for node in evaluated.nodes:
        node.type = None  # an annotation of the user's cannot always be written down
    if not _merge_(evaluated, trained):
        raise ModelError(
            f"{place}: the calls of its forward cannot be told apart: in training it takes another way; {_REMEDY}"
        )
    return evaluated


def _merge_(graph: fx.Graph, trained: fx.Graph) -> bool:
    """Read the mode at run time wherever two traces differ in a flag, in place; whether they differ in nothing else."""
    if len(graph.nodes) != len(trained.nodes):
        return False
    pairs = list(zip(graph.nodes, trained.nodes, strict=True))
    same = {theirs: ours for ours, theirs in pairs}
    with graph.inserting_before(next(node for node in graph.nodes if node.op != "placeholder")):
        mode = graph.create_node("get_attr", "training")
    for ours, theirs in pairs:
        found, form = pytree.tree_flatten((ours.args, ours.kwargs))
        wanted, other = pytree.tree_flatten(map_arg((theirs.args, theirs.kwargs), lambda node: same[node]))
        if (ours.op, ours.target, form) != (theirs.op, theirs.target, other):
            return False
        merged = [_either(*values, mode) for values in zip(found, wanted, strict=True)]
        if any(value is _NEITHER for value in merged):
            return False
        ours.args, ours.kwargs = pytree.tree_unflatten(merged, form)
    if not mode.users:
        graph.erase_node(mode)
    return True


def _either(evaluated: Any, trained: Any, mode: fx.Node) -> Any:
    """An argument in both modes; the mode itself, where it is a flag for that."""
    if evaluated is False and trained is True:
        return mode
    return evaluated if evaluated is trained or evaluated == trained else _NEITHER


def _way(graph: fx.Graph) -> list[Any]:
    """The operations of a graph in their order, with what they take; an argument with a default as that default."""
    names: dict[fx.Node, Any] = {}
    way: list[Any] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node] = node.args[0] if node.args else node.target
        else:
            names[node] = f"%{len(way)}"
            way.append((node.op, node.target, map_arg((node.args, node.kwargs), lambda source: names[source])))
    return way
