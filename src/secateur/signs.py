"""How often units are on, off or neither: the signs of what activations read, counted, and their entropy."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

States = Literal[2, 3]

_EXACT = 2**23  # float32 adds up so many ones and minus ones without rounding


@dataclass(frozen=True)
class Signs:
    """Of every unit, how many of its pre-activations were above zero, and below, and their sum; `count` were seen.

    The counts are whole numbers in float64.
    """

    count: int
    on: Float64[Tensor, " units"]
    off: Float64[Tensor, " units"]
    total: Float64[Tensor, " units"]

    @staticmethod
    def empty() -> "Signs":
        """Nothing seen yet."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return Signs(0, nothing, nothing, nothing)

    @property
    def mean(self) -> Float64[Tensor, " units"]:
        """The mean pre-activation."""
        return self.total / max(self.count, 1)

    @property
    def zero(self) -> Float64[Tensor, " units"]:
        """How many were zero."""
        return self.count - self.on - self.off

    @property
    def is_finite(self) -> bool:
        """Whether all that was seen were finite numbers."""
        return bool(torch.isfinite(self.total).all())

    def observe(self, pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> "Signs":  # noqa: ARG002 - what came out
        """The counts with these seen as well."""
        sign = pre.sign()
        balance = _total(sign)
        both = _total(sign.abs_())
        return self.merge(Signs(pre[..., 0].numel(), (both + balance) / 2, (both - balance) / 2, _total(pre)))

    def merge(self, other: "Signs") -> "Signs":
        """The counts of both samples together."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        return Signs(self.count + other.count, self.on + other.on, self.off + other.off, self.total + other.total)

    def entropy(self, states: States = 3) -> Float64[Tensor, " units"]:
        r"""Of every unit, $H = -p \log_2 p - (1 - p) \log_2 (1 - p)$, in bits.

        $p$ is the share that is on: of what is not zero with three states, of everything, zero being on, with two.
        """
        off = self.off
        on = self.on if states == 3 else self.count - off
        seen = on + off
        p = on / seen.clamp(min=1.0)
        return -(torch.xlogy(p, p) + torch.xlogy(1.0 - p, 1.0 - p)) * (seen > 0) / torch.log(torch.tensor(2.0).double())


@dataclass(frozen=True)
class SignsByBatch:
    """The entropies of single batches, added up: with two states and with three."""

    count: int
    two: Float64[Tensor, " units"]
    three: Float64[Tensor, " units"]
    is_finite: bool = True

    @staticmethod
    def empty() -> "SignsByBatch":
        """Nothing seen yet."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return SignsByBatch(0, nothing, nothing)

    def observe(self, pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> "SignsByBatch":
        """The sums with a batch more."""
        signs = Signs.empty().observe(pre, post)
        two, three = signs.entropy(2), signs.entropy(3)
        if self.count == 0:
            return SignsByBatch(1, two, three, signs.is_finite)
        return SignsByBatch(self.count + 1, self.two + two, self.three + three, self.is_finite and signs.is_finite)

    def entropy(self, states: States = 3) -> Float64[Tensor, " units"]:
        """The mean over batches of every unit's entropy."""
        return (self.two if states == 2 else self.three) / self.count


def _total(rows: Shaped[Tensor, "*rows units"]) -> Float64[Tensor, " units"]:
    """The sum over all rows, of whole numbers from -1 to 1 exactly: quick sums of few, then float64 sums of these."""
    dtype = rows.dtype if rows.dtype.itemsize >= 4 else torch.float32
    if rows.dim() == 2:
        return torch.stack([part.sum(0, dtype=dtype) for part in rows.split(_EXACT)]).double().sum(0)
    places = tuple(range(1, rows.dim() - 1))
    return rows.sum(places, dtype=dtype if rows[0, ..., 0].numel() < _EXACT else torch.float64).double().sum(0)
