"""Every call of a rectifier between linear operations: what methods of layers score, and what can be made linear."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

from torch import nn
from torch.fx import Node

from secateur.errors import ModelError
from secateur.graph import Traced, operator_of, shape_of
from secateur.sites import Activation, Sites
from secateur.tracing import Example, trace, weight_of

_RECTIFIERS = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu"),
    *("gelu", "silu", "mish", "hardswish", "softplus"),
}
_LIBRARY = "transformers.activations."  # modules that write some of these out, operator by operator
_NORMS = {"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"}
_ELEMENTWISE = _NORMS | {"dropout", "alias", "contiguous", "clone", "detach", "to", "add", "sub", "add_"}
_PASSING = _ELEMENTWISE | {
    *("view", "reshape", "_unsafe_view", "flatten", "permute", "transpose", "unflatten", "squeeze", "unsqueeze", "pad"),
    *("cat", "mean", "split", "chunk", "getitem", "slice", "roll", "upsample_nearest2d", "upsample_bilinear2d"),
    *(f"{kind}_pool{axes}d" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for axes in (1, 2, 3)),
}


def find_activations(model: nn.Module, example: Example) -> Sites:
    """The sites of methods of layers: every rectifier of the model, in the order of the data; no units.

    Raises:
        ModelError: the model cannot be traced, or has no rectifier between two linear operations.
    """
    found = activations_in(trace(model, example))
    if not found:
        raise ModelError(
            f"{type(model).__name__}: no rectifier (ReLU, GELU, SiLU, …) stands between two linear operations, so no "
            "layer can be made linear; methods of units, such as magnitude, may still find something to remove."
        )
    return Sites((), activations=found)


def activations_in(traced: Traced) -> tuple[Activation, ...]:
    """Every call of a rectifier between linear operations, each on its own, in the order of the data.

    Calls in a module that itself runs several times for one output are left out: none of them can go alone.
    """
    again = {key.partition("@")[0] for node in traced.nodes for key, _ in _stack(node) if "@" in key}
    found = [
        activation
        for ends in _calls(traced)
        if (activation := _activation(traced, *ends, frozenset(again))) is not None
    ]
    several = Counter((a.owner, a.module, a.operator if not a.module else "") for a in found)
    numbers: dict[tuple[str, str, str], int] = defaultdict(int)
    named = []
    for activation in found:
        kind = activation.owner, activation.module, activation.operator if not activation.module else ""
        calls, number = several[kind], numbers[kind]
        numbers[kind] += 1
        name = f"{activation.name}#{number + 1}" if calls > 1 else activation.name
        named.append(replace(activation, name=name, call=number, calls=calls))
    return tuple(named)


def _calls(traced: Traced) -> Iterator[tuple[Node, Node]]:
    """For every call of a rectifier the node that it reads, and the one that gives its output."""
    inside: dict[str, list[Node]] = {}
    for node in traced.nodes:
        if node.op != "call_function":
            continue
        library = next((key for key, (_, kind) in _stack(node) if kind.startswith(_LIBRARY)), None)
        if library is not None:
            inside.setdefault(library, []).append(node)
        elif _is_rectifier(node) and isinstance(node.args[0], Node):
            yield node.args[0], node
        for key in [key for key, nodes in inside.items() if key != library and nodes]:
            yield from _whole(inside.pop(key))


def _whole(nodes: list[Node]) -> Iterator[tuple[Node, Node]]:
    """The ends of an activation that a library's module computes, if it is a rectifier."""
    kind = str(_stack(nodes[-1])[-1][1][1]).rpartition(".")[2].lower()
    sources = {source for node in nodes for source in node.all_input_nodes if source not in nodes}
    if any(name in kind for name in ("elu", "silu", "mish", "swish")) and len(sources) == 1:
        yield sources.pop(), nodes[-1]


def _is_rectifier(node: Node) -> bool:
    operator = operator_of(node).removesuffix("_")
    is_relu6 = operator == "hardtanh" and tuple(node.args[1:3]) in ((0, 6), (0.0, 6.0))
    return operator in _RECTIFIERS or is_relu6


def _stack(node: Node) -> list[tuple[str, tuple[str, str]]]:
    """The modules in whose forwards a node stands, the innermost last: a key for each call, its path and class."""
    return [
        (str(key), (str(path), str(kind))) for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items()
    ]


def _activation(traced: Traced, source: Node, node: Node, again: frozenset[str]) -> Activation | None:
    """A call of a rectifier as data, where it stands between linear operations and its channels are known.

    `again` are the modules that run more than once.
    """
    before, after = tuple(_linear_before(traced, source)), tuple(_linear_after(traced, node))
    axis, shape = _axis(source), shape_of(node)
    if not before or not after or axis is None or not shape or shape != shape_of(source):
        return None
    stack = _stack(node)
    is_module = (len(stack) > 1 and ".modules.activation." in stack[-1][1][1]) or _LIBRARY in stack[-1][1][1]
    outside = stack[:-1] if is_module else stack
    if any(key.partition("@")[0] in again for key, _ in outside):
        return None
    owner = outside[-1][1][0] if outside else ""
    operator = _operator(node, stack[-1][1][1] if is_module else "")
    module = stack[-1][1][0] if is_module else ""
    name = module or ".".join(part for part in (owner, f"{operator}()") if part)
    return Activation(
        name=name,
        operator=operator,
        units=shape[axis],
        axis=axis,
        source=source.name,
        node=node.name,
        module=module,
        owner=owner,
        norm=_norm(traced, source),
        before=tuple(dict.fromkeys(before)),
        after=tuple(dict.fromkeys(after)),
    )


def _operator(node: Node, kind: str) -> str:
    """A rectifier's short name: its operator's, or its class's where that is written out."""
    operator = operator_of(node).removesuffix("_")
    if operator == "hardtanh":
        return "relu6"
    is_one = operator in _RECTIFIERS
    return operator if is_one else kind.rpartition(".")[2].lower().removesuffix("activation")


def _linear_before(traced: Traced, node: Node) -> Iterator[str]:
    """The weights of the linear operations that a value comes from, through norms, sums and layouts alone."""
    ahead, seen = [node], {node}
    for place in ahead:  # which grows
        weight = weight_of(place, traced)
        if weight is not None:
            yield weight
        elif place.op == "call_function" and operator_of(place).removesuffix("_") in _PASSING:
            ahead += [source for source in place.all_input_nodes if source not in seen]
            seen.update(place.all_input_nodes)


def _linear_after(traced: Traced, node: Node) -> Iterator[str]:
    """The weights of the linear operations that a value goes into, through norms, sums and layouts alone."""
    ahead, seen = [node], {node}
    for place in ahead:  # which grows
        for user in place.users:
            weight = weight_of(user, traced)
            if weight is not None:
                yield weight
            elif user.op == "call_function" and user not in seen and operator_of(user).removesuffix("_") in _PASSING:
                ahead.append(user)
                seen.add(user)


def _axis(source: Node) -> int | None:
    """Where the channels lie in what a rectifier reads, counted from behind; None where that cannot be told."""
    ahead, seen = [source], {source}
    for place in ahead:  # which grows
        operator = operator_of(place) if place.op == "call_function" else ""
        if "conv" in operator:
            return 1 - len(shape_of(place) or ())
        if operator in ("linear", "matmul", "mm", "addmm", "layer_norm"):
            return -1
        if operator in ("batch_norm", "group_norm", "instance_norm"):
            return 1 - len(shape_of(place) or ())
        is_relaid = operator in ("view", "reshape", "cat") and shape_of(place) is not None
        if operator in _ELEMENTWISE or (is_relaid and len(shape_of(place) or ()) == len(shape_of(source) or ())):
            ahead += [other for other in place.all_input_nodes if other not in seen]
            seen.update(place.all_input_nodes)
    return None


def _norm(traced: Traced, source: Node) -> str:
    """The batch-norm that feeds a rectifier, if one does and alone."""
    if source.op != "call_function" or operator_of(source) != "batch_norm" or not isinstance(source.args[1], Node):
        return ""
    return traced.tensors.get(source.args[1].name, "").rpartition(".")[0]
