"""What a layer's new weight could be, and how wrong each proposal is on rows that it was not made from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.compensation.layers import Layer
from secateur.stats import Gram

RIDGE = 1e-4
RIDGES = (1e-4, 1e-2, 1.0)


@dataclass(frozen=True)
class Seen:
    """What was seen at a layer, or at one group of a grouped convolution.

    `fitted` and `unseen` hold the cut layer's inputs (what is under its window) against what it should put out,
    `original` the original's inputs among themselves at single places (rows of `fitted`).
    """

    fitted: Gram
    unseen: Gram
    original: Gram

    @property
    def grams(self) -> tuple[Gram, Gram, Gram]:
        """All three."""
        return self.fitted, self.unseen, self.original

    def merge(self, other: "Seen") -> "Seen":
        """Both together."""
        return Seen(
            self.fitted.merge(other.fitted), self.unseen.merge(other.unseen), self.original.merge(other.original)
        )


@dataclass(frozen=True)
class Proposal:
    """A weight and constant as [columns + 1, out], and the mean square of what it misses on unseen rows.

    The columns are the inputs, each with all its places under the window.
    """

    name: str
    solution: Float64[Tensor, "columns out"]
    error: float = float("inf")


def candidates(layer: Layer, seen: Seen, original: Tensor, old: Proposal, how: str) -> list[Proposal]:
    """The layer as it stands and what `how` proposes, each judged on unseen rows."""
    made = [old]
    match how:
        case "reconstruct":
            problem = seen.fitted if layer.takes_constant else _without_constant(seen.fitted)
            made += [Proposal(how, problem.solve(ridge, old.solution)) for ridge in RIDGES]
        case "least_squares":
            made += [_regressed(layer, seen.original, original, old), *_mean(layer, seen.original, original, old)]
        case "mean":
            made += _mean(layer, seen.original, original, old)
    return [replace(proposal, error=seen.unseen.error(proposal.solution)) for proposal in made]


def chosen(groups: Sequence[Sequence[Proposal]]) -> tuple[Proposal, Proposal]:
    """The layer as it stands, and the best candidate, when every group of the layer takes the same one."""
    joined = [
        Proposal(
            parts[0].name,
            torch.cat([part.solution for part in parts], 1),
            sum(part.error for part in parts) / len(parts),
        )
        for parts in zip(*groups, strict=True)
    ]
    return joined[0], min(joined, key=lambda proposal: proposal.error)


def _mean(layer: Layer, gram: Gram, original: Tensor, old: Proposal) -> list[Proposal]:
    """The removed units' mean output goes into the bias: `b' = b + W_gone μ` (ODF2NNA).

    Of a convolution that pads with zeros, this is exact in the interior only.
    """
    if not layer.takes_constant:
        return []
    gone = layer.gone.to(original.device)
    solution = old.solution.clone()
    solution[-1] += _by_place(original)[:, gone].sum(2) @ (gram.inputs[-1, gone] / gram.count)
    return [Proposal("mean", solution)]


def _regressed(layer: Layer, gram: Gram, original: Tensor, old: Proposal) -> Proposal:
    """`a_gone ≈ B a_keep + c`, folded: `W' = W_keep + W_gone B` at every place of the kernel, `b' = b + W_gone c`.

    `c = 0` where the layer takes no constant, and where it pads with zeros, which no constant goes through.
    """
    gone, kept = layer.gone.to(original.device), layer.kept.to(original.device)
    used = torch.cat([kept, torch.tensor([len(gram.inputs) - 1], device=original.device)])
    cross = gram.inputs[used][:, gone]
    problem = Gram(gram.count, gram.inputs[used][:, used], cross, gram.inputs.diagonal()[gone])
    pads = layer.window is not None and layer.window.pads
    problem = problem if layer.takes_constant and not pads else _without_constant(problem)
    taken_over = problem.solve(RIDGE, torch.zeros_like(cross))  # [kept + 1, gone]
    lost = _by_place(original)[:, gone]
    handed = torch.einsum("kg,ogp->kpo", taken_over[:-1], lost).flatten(0, 1)
    constant = lost.sum(2) @ taken_over[-1]
    return Proposal("least_squares", old.solution + torch.cat([handed, constant[None]]))


def _by_place(weight: Tensor) -> Float64[Tensor, "out in places"]:
    """A weight [out, in, …] with the places of its kernel as one axis."""
    return weight.reshape(*weight.shape[:2], -1)


def _without_constant(gram: Gram) -> Gram:
    """The same problem for a layer that cannot take a constant: the column of ones is made worthless."""
    inputs, cross = gram.inputs.clone(), gram.cross.clone()
    inputs[-1], inputs[:, -1], cross[-1] = 0.0, 0.0, 0.0
    inputs[-1, -1] = 1.0
    return replace(gram, inputs=inputs, cross=cross)
