"""Calls of rectifiers in a graph: of a module's own, of a function, or written out operator by operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from secateur.graph import Traced, operator_of

_RECTIFIERS = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu"),
    *("gelu", "silu", "mish", "hardswish", "softplus"),
}
_NAMES = ("elu", "silu", "mish", "swish")  # in those of classes that write a rectifier out, in small letters
_WRITTEN_WITH = {
    *("mul", "add", "sub", "rsub", "div", "neg", "pow", "square", "sqrt", "exp", "erf", "tanh", "sigmoid", "log"),
    *("clamp", "minimum", "maximum", "where", "softplus", "hardtanh", "relu6", "relu", "log1p", "to", "alias", "clone"),
}


@dataclass(frozen=True)
class Call:
    """One call of a rectifier: what it reads and gives, and the modules in whose forwards it stands.

    `own` is the path of the module whose call computes nothing else, "" where there is none; `around` are the paths of
    those further out, the innermost last.
    """

    source: Node
    node: Node
    operator: str
    own: str
    around: tuple[str, ...]

    @property
    def owner(self) -> str:
        """The module whose forward makes the call."""
        return self.around[-1] if self.around else ""

    @property
    def name(self) -> str:
        """The module's path, or the function's name behind the owner's."""
        return self.own or ".".join(part for part in (self.owner, f"{self.operator}()") if part)


@dataclass(frozen=True)
class _Run:
    """One call of a module: its path, its class's name in small letters, and the operators that it came to."""

    path: str
    kind: str
    nodes: list[Node]


def calls_in(traced: Traced) -> list[Call]:
    """Every call of a rectifier in a graph, in the order of the data, whether something can be done with it or not."""
    runs = _runs(traced)
    written = _written_out(list(runs.values()))
    inside = {node for run in written for node in run.nodes}
    last = {run.nodes[-1]: run for run in written}
    calls = []
    for node in traced.nodes:
        stack = [key for key, _, _ in stack_of(node)]
        if node in last:
            calls.append(_call_of(last[node], [runs[key] for key in stack]))
        elif node not in inside and _is_rectifier(node) and isinstance(node.args[0], Node):
            calls.append(_call(node.args[0], node, [runs[key] for key in stack]))
    return calls


def stack_of(node: Node) -> list[tuple[str, str, str]]:
    """The modules in whose forwards a node stands, the innermost last: a key for each call, its path and its class."""
    stack = node.meta.get("nn_module_stack") or {}
    return [(str(key), str(path), str(kind)) for key, (path, kind) in stack.items()]


def _runs(traced: Traced) -> Mapping[str, _Run]:
    runs: dict[str, _Run] = {}
    for node in traced.nodes:
        if node.op == "call_function" and isinstance(node.meta.get("val"), Tensor):
            for key, path, kind in stack_of(node):
                runs.setdefault(key, _Run(path, kind.rpartition(".")[2].lower(), [])).nodes.append(node)
    return runs


def _written_out(runs: Sequence[_Run]) -> list[_Run]:
    """The calls of modules that write a rectifier out, as the names of their classes say; of nested ones, the outer."""
    found: list[_Run] = []
    for run in runs:  # the outer ones come first
        is_one = any(name in run.kind for name in _NAMES) and len(run.nodes) > 1
        if is_one and {operator_of(node).removesuffix("_") for node in run.nodes} <= _WRITTEN_WITH:
            is_nested = any(run.nodes[-1] in other.nodes for other in found)
            if len(_sources(run)) == 1 and not is_nested:
                found.append(run)
    return found


def _sources(run: _Run) -> set[Node]:
    """What a module's call reads."""
    return {source for node in run.nodes for source in node.all_input_nodes if source not in run.nodes}


def _call_of(written: _Run, stack: Sequence[_Run]) -> Call:
    """The call of a rectifier that a module writes out."""
    (source,) = _sources(written)
    around = stack[: stack.index(written)]
    operator = written.kind.removesuffix("activation")
    return Call(source, written.nodes[-1], operator, written.path, tuple(run.path for run in around))


def _call(source: Node, node: Node, stack: Sequence[_Run]) -> Call:
    """The call of a rectifier that is an operator of its own; of a module's, where that computes nothing else."""
    operator = operator_of(node).removesuffix("_")
    is_module = len(stack) > 1 and stack[-1].nodes == [node]
    around = stack[:-1] if is_module else stack
    own = stack[-1].path if is_module else ""
    return Call(source, node, "relu6" if operator == "hardtanh" else operator, own, tuple(run.path for run in around))


def _is_rectifier(node: Node) -> bool:
    if node.op != "call_function":
        return False
    operator = operator_of(node).removesuffix("_")
    is_relu6 = operator == "hardtanh" and tuple(node.args[1:3]) in ((0, 6), (0.0, 6.0))
    return operator in _RECTIFIERS or is_relu6
