"""Padding of texts: which tokens of a batch are none, and which entries of a value belong to those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from jaxtyping import Bool
from torch import Tensor
from torch.fx import Node

from secateur.graph import Traced, shape_of
from secateur.inference import device_of, moved
from secateur.task import Arguments

_MASK = "attention_mask"
_WRITTEN = "decoder_"  # what arguments are called that hold the text that is written, in models that read another


@dataclass(frozen=True)
class Padding:
    """Which tokens of a batch are no padding: of the text that is read, and of the one that is written; None: all.

    `following` says which nodes follow from each of them; what follows from neither has no tokens.
    """

    masks: Mapping[str, Bool[Tensor, "examples tokens"] | None]
    following: Mapping[str, frozenset[Node]]

    def at(self, node: Node) -> Bool[Tensor, "examples tokens"] | None:
        """Which tokens are none at a node; None where there is no padding."""
        for text in (_WRITTEN, ""):
            if node in self.following[text]:
                return self.masks[text]
        return None


@dataclass(frozen=True)
class Texts:
    """Where a graph's nodes have their tokens from."""

    traced: Traced
    following: Mapping[str, frozenset[Node]]

    def padding(self, arguments: Arguments) -> Padding:
        """The padding of a batch, as a model of Hugging Face is told by `attention_mask`."""
        given = dict(zip(self.traced.inputs, arguments[0], strict=False)) | arguments[1]
        return Padding({text: self._shown(given.get(text + _MASK)) for text in self.following}, self.following)

    def hidden(self, output: Any, other: Any, arguments: Arguments) -> Any:
        """The model's output with another's entries where there is padding: nobody sees a difference there."""
        leaves, structure = pytree.tree_flatten(output)
        nodes: Any = self.traced.nodes[-1].args[0]
        padding = self.padding(arguments)
        both = zip(leaves, pytree.tree_leaves(other), nodes, strict=True)
        return pytree.tree_unflatten([_hidden(*each, padding) for each in both], structure)

    def _shown(self, mask: Any) -> Bool[Tensor, "examples tokens"] | None:
        """Which tokens a mask shows, on the model's device; None where it hides none."""
        if not isinstance(mask, Tensor) or mask.dim() != 2:
            return None
        shown = moved(mask, device_of(self.traced.model)) != 0
        return None if bool(shown.all()) else shown


def texts_of(traced: Traced) -> Texts:
    """Where a graph's nodes have their tokens from."""
    return Texts(traced, {text: _following(traced, text) for text in ("", _WRITTEN)})


def seen(
    tokens: Bool[Tensor, "examples tokens"] | None, shape: Sequence[int], units: Sequence[int]
) -> Bool[Tensor, "..."] | None:
    """Which entries of a value are of tokens that are no padding, its units' axes of length 1; None: no padding known.

    Of its other axes the first is the examples', one as long as the tokens is theirs, the last if there are several.
    Where there is only one, examples and tokens may be laid out as one.
    """
    if tokens is None:
        return None
    own = {axis % len(shape) for axis in units}
    others = [axis for axis in range(len(shape)) if axis not in own]
    sizes = [1 if axis in own else size for axis, size in enumerate(shape)]
    if [shape[axis] for axis in others] == [tokens.numel()]:
        return tokens.reshape(sizes)
    places = [axis for axis in others[1:] if shape[axis] == tokens.shape[1]]
    if not places or shape[others[0]] != len(tokens):
        return None
    along = [size if axis in (others[0], places[-1]) else 1 for axis, size in enumerate(shape)]
    return tokens.reshape(along).expand(sizes)


def _hidden(value: Any, other: Any, node: Any, padding: Padding) -> Any:
    if not isinstance(value, Tensor) or not isinstance(node, Node):
        return value
    shown = seen(padding.at(node), value.shape, (-1,) if value.dim() > 2 else ())
    return value if shown is None else torch.where(shown, value, other)


def _following(traced: Traced, text: str) -> frozenset[Node]:
    """All nodes that follow from inputs of a text: its mask, and what else has as many rows and tokens."""
    inputs = {node.name: node for node in traced.nodes if node.name in traced.inputs}
    mask = inputs.get(text + _MASK)
    own = {node for name, node in inputs.items() if name.startswith(_WRITTEN) == (text == _WRITTEN)}
    found = {node for node in own if mask is None or (shape_of(node) or ())[:2] == (shape_of(mask) or ())[:2]}
    for node in traced.nodes:
        if not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return frozenset(found)
