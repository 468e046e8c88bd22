"""`block_influence`: a residual block that hardly turns what goes through it can go, a baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor, nn

from secateur.calibration import calibrate
from secateur.errors import ModelError, UnknownNameError
from secateur.scores import Blocks, Rectified, Scores
from secateur.sites import Sites
from secateur.task import Task

AROUND = ("block", "activation")
AT_ONCE = 2**16  # numbers that stay in a processor's cache while they are looked at several times
MOST = 2.0  # of what goes in, the opposite comes out


@dataclass(frozen=True)
class Turn:
    """One less the cosine of what goes in and what comes out, added up over rows."""

    count: int
    total: Float64[Tensor, ""]

    @staticmethod
    def empty() -> "Turn":
        """Nothing seen yet."""
        return Turn(0, torch.zeros((), dtype=torch.float64))

    @property
    def is_finite(self) -> bool:
        """Whether all that was seen were finite numbers."""
        return bool(torch.isfinite(self.total))

    @property
    def mean(self) -> Float64[Tensor, ""]:
        """The mean over rows."""
        return self.total / max(self.count, 1)

    def observe(self, pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> "Turn":
        """The sum with these seen as well."""
        step = max(1, AT_ONCE // max(pre[0].numel(), 1)) if len(pre) else 1
        turned = [_turned(*both) for both in zip(pre.split(step), post.split(step), strict=True)]
        total = torch.stack(turned).sum() if turned else self.total
        return self.merge(Turn(prod(pre.shape[:-1]), total))

    def merge(self, other: "Turn") -> "Turn":
        """The sum over both."""
        return Turn(self.count + other.count, self.total.to(other.total.device) + other.total)


@dataclass(frozen=True)
class BlockInfluence:
    r"""How far a residual block turns its input: $1 - \operatorname{mean} \cos(x, y)$ of what comes in and goes out.

    Men et al., *ShortGPT: Layers in Large Language Models are More Redundant Than You Expect*, 2024
    ([arXiv 2403.03853](https://arxiv.org/abs/2403.03853)), block influence: the cosine of a token's hidden states
    before and after a block, over all tokens.

    What differs: here every activation has the score of the smallest residual block around it: the innermost module
    whose input gets to its output, which has the same shape, around all linear layers. The activations of one block
    score alike. In convolutional networks each position of a map is a row, over channels. An activation in no such
    block scores 2, the most there is: there nothing can go whole. `around="activation"` takes, for networks without
    residual blocks, what each activation alone reads and gives.
    """

    around: Literal["block", "activation"] = "block"
    name = "block_influence"
    granularity = "layer"

    def __post_init__(self) -> None:
        if self.around not in AROUND:
            raise UnknownNameError("place of block_influence", self.around, AROUND)

    @property
    def watches(self) -> Blocks | Rectified:
        """What it watches."""
        return Blocks(Turn.empty) if self.around == "block" else Rectified(Turn.empty)

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The influence of the block around every activation."""
        return self.judge(model, sites, calibrate(model, sites, task, self.watches))

    def judge(self, model: nn.Module, sites: Sites, seen: Mapping[str, Turn]) -> Scores:
        """The scores that follow from what every block does.

        Raises:
            ModelError: no activation is in a residual block.
        """
        if not seen:
            raise ModelError(
                f"{type(model).__name__}: none of its {len(sites.activations)} activations is in a residual block; use "
                'around="activation", or another method, such as easier.'
            )
        most = torch.full_like(next(iter(seen.values())).mean, MOST)
        values = {each.name: seen[each.name].mean if each.name in seen else most for each in sites.activations}
        return Scores(self.name, {name: value.reshape(1) for name, value in values.items()}, comparable=True)


def _turned(pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> Float64[Tensor, ""]:
    r"""The sum over rows of one less the cosine, as $(|a - b|^2 - (|a| - |b|)^2) / (2 |a| |b|)$.

    So nothing cancels where both are nearly equal. Beside a row of zeros the cosine is 0, of two such rows it is 1.
    """
    dtype = torch.float64 if pre.dtype == torch.float64 else torch.float32
    pre, post = pre.to(dtype), post.to(dtype)
    before, after = pre.norm(dim=-1), post.norm(dim=-1)
    apart = (pre - post).square_().sum(-1) - (before - after).square_()
    both = 2.0 * before * after
    turned = torch.where(both > 0, apart.clamp_(min=0.0) / both, ((before > 0) ^ (after > 0)).to(dtype))
    return turned.sum(dtype=torch.float64) + 0.0 * apart.sum()  # NaN stays NaN


METHOD = BlockInfluence()
