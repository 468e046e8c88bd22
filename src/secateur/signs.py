"""What activations read: how often it is above zero or below, the entropy of that, and how far it spreads."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

States = Literal[2, 3]

_AT_ONCE = 2**17  # numbers that stay in a processor's cache while they are looked at several times
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
        return Signs(0, *[torch.zeros(0, dtype=torch.float64)] * 3)

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

    def observe(self, rows: Shaped[Tensor, "*rows units"]) -> "Signs":
        """The counts with these seen as well."""
        count = prod(rows.shape[:-1])
        if count == 0:
            return self
        balance, both, total = _added_up(rows, _signs)
        return self.merge(Signs(count, (both + balance) / 2, (both - balance) / 2, total))

    def merge(self, other: "Signs") -> "Signs":
        """The counts of both samples together."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        return Signs(self.count + other.count, self.on + other.on, self.off + other.off, self.total + other.total)

    def entropy(self, states: States = 3) -> Float64[Tensor, " units"]:
        r"""Of every unit, $H = -p \log_2 p - (1 - p) \log_2 (1 - p)$, in bits.

        $p$ is the share that is on: of what is not zero with three states, of everything, zero being on, with two.
        """
        on = self.on if states == 3 else self.count - self.off
        seen = on + self.off
        p = on / seen.clamp(min=1.0)
        nats = torch.xlogy(p, p) + torch.xlogy(1.0 - p, 1.0 - p)
        return torch.where(seen > 0, -nats / torch.log(torch.tensor(2.0, dtype=torch.float64)), 0.0)


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

    def observe(self, rows: Shaped[Tensor, "*rows units"]) -> "SignsByBatch":
        """The sums with a batch more."""
        signs = Signs.empty().observe(rows)
        return self.merge(SignsByBatch(1, signs.entropy(2), signs.entropy(3), signs.is_finite))

    def merge(self, other: "SignsByBatch") -> "SignsByBatch":
        """The sums over the batches of both."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        is_finite = self.is_finite and other.is_finite
        return SignsByBatch(self.count + other.count, self.two + other.two, self.three + other.three, is_finite)

    def entropy(self, states: States = 3) -> Float64[Tensor, " units"]:
        """The mean over batches of every unit's entropy."""
        return (self.two if states == 2 else self.three) / self.count


@dataclass(frozen=True)
class Spread:
    """Mean and population variance of every unit's pre-activations, in float64."""

    count: int
    mean: Float64[Tensor, " units"]
    variance: Float64[Tensor, " units"]

    @staticmethod
    def empty() -> "Spread":
        """Nothing seen yet."""
        return Spread(0, *[torch.zeros(0, dtype=torch.float64)] * 2)

    @property
    def is_finite(self) -> bool:
        """Whether all that was seen were finite numbers."""
        return bool(torch.isfinite(self.variance).all())

    def observe(self, rows: Shaped[Tensor, "*rows units"]) -> "Spread":
        """Mean and variance with these seen as well."""
        count = prod(rows.shape[:-1])
        if count == 0:
            return self
        shift = (self.mean if self.count else rows[0].reshape(-1, rows.shape[-1])[0]).to(_summed_in(rows))
        total, powers = (part / count for part in _added_up(rows, lambda part: _powers(part - shift)))
        return self.merge(Spread(count, shift.double() + total, (powers - total.square()).clamp(min=0.0)))

    def merge(self, other: "Spread") -> "Spread":
        """Mean and variance of both samples together (Chan, Golub & LeVeque 1979)."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        share, step = other.count / count, other.mean - self.mean
        variance = (1.0 - share) * self.variance + share * other.variance + (1.0 - share) * share * step.square()
        return Spread(count, self.mean + share * step, variance)


def _added_up(
    rows: Shaped[Tensor, "*rows units"], sums: Callable[[Tensor], tuple[Tensor, ...]]
) -> Float64[Tensor, "sums units"]:
    """Sums over all rows: quick ones of a few rows at a time, which are added up in float64."""
    size = _AT_ONCE if rows.device.type == "cpu" else _EXACT
    step = max(1, size // max(rows[0].numel(), 1))
    return torch.stack([torch.stack(sums(part)) for part in rows.split(step)]).double().sum(0)


def _signs(part: Shaped[Tensor, "*rows units"]) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of the signs, of their absolute values, and of the numbers themselves."""
    over, dtype = tuple(range(part.dim() - 1)), _summed_in(part)
    sign = part.sign()
    balance = sign.sum(over, dtype=dtype)
    return balance, sign.abs_().sum(over, dtype=dtype), part.sum(over, dtype=dtype)


def _powers(off: Shaped[Tensor, "*rows units"]) -> tuple[Tensor, Tensor]:
    """The sums of numbers and of their squares; the numbers are lost."""
    over = tuple(range(off.dim() - 1))
    return off.sum(over), off.square_().sum(over)


def _summed_in(part: Shaped[Tensor, "*rows units"]) -> torch.dtype:
    """Float32 where its sums are exact enough."""
    is_small = prod(part.shape[1:-1]) < _EXACT and part.dtype != torch.float64
    return torch.float32 if is_small else torch.float64
