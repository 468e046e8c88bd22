"""What a layer's new weight could be, and how wrong each proposal is on rows that it was not made from."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from secateur.compensation.layers import Layer
from secateur.stats import Gram

RIDGE = 1e-4
RIDGES = (1e-4, 1e-2, 1.0)


@dataclass(frozen=True)
class Seen:
    """What was seen at a layer.

    `fitted` and `unseen` hold the cut layer's inputs against what it should put out, `original` the original's inputs
    among themselves (rows of `fitted`).
    """

    fitted: Gram
    unseen: Gram
    original: Gram

    def merge(self, other: "Seen") -> "Seen":
        """Both together."""
        return Seen(
            self.fitted.merge(other.fitted), self.unseen.merge(other.unseen), self.original.merge(other.original)
        )


@dataclass(frozen=True)
class Proposal:
    """A weight and bias as [in + 1, out], and the mean square of what it misses on unseen rows."""

    name: str
    solution: Tensor
    error: float = float("inf")


def proposals(layer: Layer, seen: Seen, original: Tensor, old: Proposal, how: str) -> tuple[Proposal, Proposal]:
    """The layer as it stands, and the best of it and what `how` proposes, both judged on unseen rows."""
    made = [old]
    match how:
        case "reconstruct":
            problem = seen.fitted if layer.bias is not None else _without_constant(seen.fitted)
            made += [Proposal(how, problem.solve(ridge, old.solution)) for ridge in RIDGES]
        case "least_squares":
            made += [_regressed(layer, seen.original, original, old), *_mean(layer, seen.original, original, old)]
        case "mean":
            made += _mean(layer, seen.original, original, old)
    judged = [replace(proposal, error=seen.unseen.error(proposal.solution)) for proposal in made]
    return judged[0], min(judged, key=lambda proposal: proposal.error)


def _mean(layer: Layer, gram: Gram, original: Tensor, old: Proposal) -> list[Proposal]:
    """The removed units' mean output goes into the bias: `b' = b + W_gone μ` (ODF2NNA)."""
    if layer.bias is None:
        return []
    gone = layer.gone.to(original.device)
    solution = old.solution.clone()
    solution[-1] += original[:, gone] @ (gram.inputs[-1, gone] / gram.count)
    return [Proposal("mean", solution)]


def _regressed(layer: Layer, gram: Gram, original: Tensor, old: Proposal) -> Proposal:
    """`a_gone ≈ B a_keep + c`, folded: `W' = W_keep + W_gone B`, `b' = b + W_gone c`; `c = 0` where no bias can be."""
    gone, kept = layer.gone.to(original.device), layer.kept.to(original.device)
    used = torch.cat([kept, torch.tensor([len(gram.inputs) - 1], device=original.device)])
    cross = gram.inputs[used][:, gone]
    problem = Gram(gram.count, gram.inputs[used][:, used], cross, gram.inputs.diagonal()[gone])
    problem = problem if layer.bias is not None else _without_constant(problem)
    handed = problem.solve(RIDGE, torch.zeros_like(cross)) @ original[:, gone].T
    return Proposal("least_squares", old.solution + handed)


def _without_constant(gram: Gram) -> Gram:
    """The same problem for a layer that cannot take a constant: the column of ones is made worthless."""
    inputs, cross = gram.inputs.clone(), gram.cross.clone()
    inputs[-1], inputs[:, -1], cross[-1] = 0.0, 0.0, 0.0
    inputs[-1, -1] = 1.0
    return replace(gram, inputs=inputs, cross=cross)
