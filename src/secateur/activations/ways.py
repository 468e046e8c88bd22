"""What lies between rectifiers: the linear operations before and after one, through norms, sums and layouts."""

from collections.abc import Iterator

from torch.fx import Node

from secateur.costs import weight_of
from secateur.graph import Traced, operator_of, shape_of

_NORMS = {"batch_norm", "instance_norm", "group_norm", "layer_norm", "rms_norm"}
_ELEMENTWISE = _NORMS | {"dropout", "alias", "contiguous", "clone", "detach", "to", "add", "sub"}
_PASSING = _ELEMENTWISE | {
    *("view", "reshape", "_unsafe_view", "flatten", "permute", "transpose", "unflatten", "squeeze", "unsqueeze", "pad"),
    *("cat", "mean", "split", "chunk", "getitem", "slice", "roll", "upsample_nearest2d", "upsample_bilinear2d"),
    *(f"{kind}_pool{axes}d" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for axes in (1, 2, 3)),
}


def linear_before(traced: Traced, node: Node) -> Iterator[str]:
    """The weights of the linear operations that a value comes from, through norms, sums and layouts alone."""
    ahead, seen = [node], {node}
    for place in ahead:  # which grows
        weight = weight_of(place, traced)
        if weight is not None:
            yield weight
        elif _is_passing(place, traced):
            ahead += [source for source in place.all_input_nodes if source not in seen]
            seen.update(place.all_input_nodes)


def linear_after(traced: Traced, node: Node) -> Iterator[str]:
    """The weights of the linear operations that a value goes into, through norms, sums and layouts alone."""
    ahead, seen = [node], {node}
    for place in ahead:  # which grows
        for user in place.users:
            weight = weight_of(user, traced)
            if weight is not None:
                yield weight
            elif user not in seen and _is_passing(user, traced):
                ahead.append(user)
                seen.add(user)


def axis_of(traced: Traced, source: Node) -> int | None:
    """Where the channels lie in what a rectifier reads, counted from behind; None where that cannot be told."""
    ahead, seen = [source], {source}
    for place in ahead:  # which grows
        operator = _operator(place)
        axes = len(shape_of(place) or ())
        if "conv" in operator or operator in ("batch_norm", "group_norm", "instance_norm"):
            return 1 - axes
        if operator in ("linear", "matmul", "mm", "addmm", "layer_norm", "rms_norm"):
            return -1
        is_relaid = operator in ("view", "reshape", "cat") and axes == len(shape_of(source) or ())
        if operator in _ELEMENTWISE or is_relaid or _is_scaling(place, traced):
            ahead += [other for other in place.all_input_nodes if other not in seen]
            seen.update(place.all_input_nodes)
    return None


def norm_before(traced: Traced, source: Node) -> str:
    """The batch-norm that feeds a rectifier, if one does and alone; else ""."""
    if _operator(source) != "batch_norm" or not isinstance(source.args[1], Node):
        return ""
    return traced.tensors.get(source.args[1].name, "").rpartition(".")[0]


def _is_passing(node: Node, traced: Traced) -> bool:
    return _operator(node) in _PASSING or _is_scaling(node, traced)


def _is_scaling(node: Node, traced: Traced) -> bool:
    """Whether a node multiplies one value of the data by what stays the same: a weight of every unit, a number."""
    given = [arg for arg in node.args if isinstance(arg, Node) and not _is_fixed(arg, traced)]
    is_divided = _operator(node) == "div" and node.args[0] in given
    return len(given) == 1 and (_operator(node) == "mul" or is_divided)


def _is_fixed(node: Node, traced: Traced) -> bool:
    """Whether a value follows from the model's tensors alone."""
    is_computed = node.op == "call_function" and bool(node.all_input_nodes)
    return node.name in traced.tensors or (is_computed and all(_is_fixed(n, traced) for n in node.all_input_nodes))


def _operator(node: Node) -> str:
    return operator_of(node).removesuffix("_") if node.op == "call_function" else ""
