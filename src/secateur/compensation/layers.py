"""The layers that read removed units: their weights in both networks, and which entries went."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur import width
from secateur.compensation.norms import Norm, norm_after
from secateur.compensation.windows import Window, window_of
from secateur.graph import Traced, operator_of
from secateur.plan import Cut, Plan


@dataclass(frozen=True)
class Layer:
    """A layer [out, in, …] that reads removed units; entries are those of the original weight that stay or go.

    `bias` is the tensor that can take a constant, one that the layer has or can gain; where it has none and a
    batch-norm follows, the constant goes into that `norm`'s running mean. What counts is what the norm puts out.
    `window` says how a convolution moves over its input; a linear layer has none. In a grouped convolution the entries
    are those of every group. `target` is the node of the original's graph whose value the layer should put out, ""
    where it is the layer's own.
    """

    weight: str
    bias: str | None
    kept: Tensor
    gone: Tensor
    kept_out: Tensor
    window: Window | None = None
    norm: Norm | None = None
    target: str = ""

    @property
    def name(self) -> str:
        """The layer's name in the model."""
        return self.weight.removesuffix(".weight")

    @property
    def takes_constant(self) -> bool:
        """Whether there is a place for a constant in what the layer puts out."""
        return self.bias is not None or self.norm is not None

    @property
    def groups(self) -> int:
        """How many parts of its input the layer reads apart from each other."""
        return self.window.groups if self.window else 1

    @property
    def axis(self) -> int:
        """Where the units lie in what the layer reads and puts out."""
        return 1 if self.window else -1


def layers_of(traced: Traced, plan: Plan, *, downstream: bool = False) -> tuple[Layer, ...]:
    """The layers that read removed units, in the order of the data; `downstream`, all that come after the first too.

    Those lose no inputs, but what they read has changed: solved anew, they mend what the layers before them left. Not
    so depthwise convolutions: each output reads one channel, and cannot take over another's work; nor grouped ones that
    lost groups.
    """
    cut = {(cut.tensor, cut.axis): cut for cut in plan.cuts}
    readers: dict[str, Node] = {}
    uses = Counter(weight_of(traced, node) for node in traced.nodes)
    for node in traced.nodes:
        weight = weight_of(traced, node)
        is_reader = weight is not None and (weight, 1) in cut and bool(cut[(weight, 1)].removed)
        is_later = downstream and bool(readers) and uses[weight] == 1
        if weight is not None and (is_reader or (is_later and not _stands(node, lost=(weight, 0) in cut))):
            readers.setdefault(weight, node)
    return tuple(_layer(traced, weight, node, cut) for weight, node in readers.items())


def later_layers(traced: Traced, first: str, names: Container[str]) -> tuple[Layer, ...]:
    """The layers of some weights behind a node that can be solved anew although they lose nothing."""
    nodes = [node.name for node in traced.nodes]
    uses = Counter(weight_of(traced, node) for node in traced.nodes)
    found = []
    for node in traced.nodes[nodes.index(first) + 1 :]:
        weight = weight_of(traced, node)
        if weight is not None and weight in names and uses[weight] == 1 and not _stands(node, lost=False):
            found.append(_layer(traced, weight, node, {}))
    return tuple(found)


def _layer(traced: Traced, weight: str, node: Node, cut: Mapping[tuple[str, int], Cut]) -> Layer:
    gone = torch.tensor(cut[(weight, 1)].removed if (weight, 1) in cut else (), dtype=torch.long)
    out, length = width.tensor_of(traced.model, weight).shape[:2]
    gone_out = cut[(weight, 0)].removed if (weight, 0) in cut else ()
    norm = norm_after(traced, node)
    return Layer(
        weight=weight,
        bias=_bias_of(traced, node, may_gain=norm is None and len(gone) > 0),
        kept=_rest(length, gone.tolist()),
        gone=gone,
        kept_out=_rest(out, gone_out),
        window=window_of(node),
        norm=norm,
    )


def weight_of(traced: Traced, node: Node) -> str | None:
    """The parameter [out, in, …] that a linear operator or a convolution multiplies by, where it is used unchanged."""
    if node.op != "call_function" or operator_of(node) not in ("linear", "conv1d", "conv2d", "conv3d"):
        return None
    weight = node.args[1]
    return traced.tensors.get(weight.name) if isinstance(weight, Node) else None


def write_(small: nn.Module, layer: Layer, weight: Tensor, constant: Tensor) -> None:
    """Put a new weight and constant into a layer of the cut network, in place."""
    old = width.tensor_of(small, layer.weight)
    with torch.no_grad():
        old.copy_(weight.reshape(old.shape))
        if layer.bias is not None:
            width.tensor_of(small, layer.bias).copy_(constant)
        elif layer.norm is not None:
            mean = width.tensor_of(small, layer.norm.mean)
            mean.sub_(constant.to(mean))


def _bias_of(traced: Traced, node: Node, *, may_gain: bool) -> str | None:
    """The bias of a linear operator or convolution, or the one its module would gain."""
    if len(node.args) > 2 and isinstance(node.args[2], Node):
        return traced.tensors.get(node.args[2].name)
    weight = weight_of(traced, node)
    if weight is None or not weight.endswith(".weight") or not may_gain:
        return None
    owner = traced.model.get_submodule(weight.removesuffix(".weight"))
    return weight.removesuffix("weight") + "bias" if isinstance(owner, width.MAY_GAIN_BIAS) else None


def _stands(node: Node, *, lost: bool) -> bool:
    """Whether a layer that loses no inputs stands as it is: convolutions in groups of one input, or fewer of them."""
    window, weight = window_of(node), node.args[1]
    if window is None or window.groups == 1:
        return False
    return lost or (isinstance(weight, Node) and weight.meta["val"].shape[1] == 1)


def _rest(length: int, gone: Iterable[int]) -> Tensor:
    kept = torch.ones(length, dtype=torch.bool)
    kept[list(gone)] = False
    return kept.nonzero().flatten()
