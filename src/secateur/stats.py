"""Streaming statistics: each sees rows of units batch by batch, keeps float64 sums, and merges exactly."""

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor


@runtime_checkable
class Statistic(Protocol):
    """Something known about units after rows of their outputs have been seen; seeing more gives a new one."""

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> Self: ...


@dataclass(frozen=True)
class Moments:
    """Count, mean and summed squared deviations of every unit (Chan, Golub & LeVeque 1979: pairwise merging)."""

    count: int
    mean: Float64[Tensor, " units"]
    squares: Float64[Tensor, " units"]

    @staticmethod
    def empty() -> "Moments":
        """Nothing seen yet."""
        return Moments(0, torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64))

    @property
    def variance(self) -> Float64[Tensor, " units"]:
        """The population variance."""
        return self.squares / self.count

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> "Moments":
        """The moments with these rows seen as well."""
        if len(rows) == 0:
            return self
        # Shifted by the mean so far, at first by a row: a constant column gives exact zeros, a huge offset loses
        # nothing, and a share of at least count / (count + rows), at first 1 / rows, is left of the sums of squares.
        before = self if self.count else Moments(0, rows[0].double(), torch.zeros_like(rows[0], dtype=torch.float64))
        shifted = rows.to(torch.float64, copy=True).sub_(before.mean)
        ones = shifted.new_ones(len(rows))
        total = ones @ shifted  # faster than sum(0)
        squares = before.squares + ones @ shifted.square_()
        count = before.count + len(rows)
        mean = torch.add(before.mean, total, alpha=1.0 / count)
        return Moments(count, mean, torch.addcmul(squares, total, total, value=-1.0 / count))

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both samples together."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        step = other.mean - self.mean
        mean = torch.add(self.mean, step, alpha=other.count / count)
        between = self.count * other.count / count
        return Moments(count, mean, torch.addcmul(self.squares + other.squares, step, step, value=between))


@dataclass(frozen=True)
class Together:
    """Several statistics of the same rows."""

    parts: tuple[Statistic, ...]

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> "Together":
        """Each of them with these rows seen as well."""
        return Together(tuple(part.observe(rows) for part in self.parts))


@dataclass(frozen=True)
class Gram:
    """A least-squares problem: sums of products of all pairs of columns of `[inputs, 1]`, and of these with targets.

    `inputs` is [n + 1, n + 1], `cross` [n + 1, targets], `squares` [targets]; `count` rows were seen.
    """

    count: int
    inputs: Float64[Tensor, "columns columns"]
    cross: Float64[Tensor, "columns targets"]
    squares: Float64[Tensor, " targets"]

    @staticmethod
    def of(inputs: Shaped[Tensor, "rows n"], targets: Shaped[Tensor, "rows targets"]) -> "Gram":
        """The sums over one batch."""
        x = torch.cat([inputs.double(), torch.ones(len(inputs), 1, dtype=torch.float64, device=inputs.device)], 1)
        y = targets.double()
        return Gram(len(x), x.T @ x, x.T @ y, y.square().sum(0))

    def merge(self, other: "Gram") -> "Gram":
        """The sums over both."""
        return Gram(
            self.count + other.count,
            self.inputs + other.inputs,
            self.cross + other.cross,
            self.squares + other.squares,
        )

    def error(self, solution: Float64[Tensor, "columns targets"]) -> float:
        """The mean square, over rows and targets, of what `[inputs, 1] @ solution` misses of the targets."""
        fitted = (solution * (self.inputs @ solution)).sum() - 2.0 * (solution * self.cross).sum()
        return max(float(fitted + self.squares.sum()), 0.0) / max(self.count * len(self.squares), 1)

    def solve(self, ridge: float, towards: Float64[Tensor, "columns targets"]) -> Float64[Tensor, "columns targets"]:
        """The least-squares solution with a ridge, relative to the mean input power, towards a prior solution."""
        power = self.inputs.diagonal()[:-1].mean() if len(self.inputs) > 1 else self.inputs.diagonal().mean()
        weight = ridge * float(power) + torch.finfo(torch.float64).tiny
        damping = torch.full((len(self.inputs),), weight, dtype=torch.float64, device=self.inputs.device)
        damping[-1] = weight * 1e-6  # the constant is left almost free
        system = self.inputs + torch.diag(damping)
        rest = self.cross - self.inputs @ towards
        factor, failed = torch.linalg.cholesky_ex(system)
        step = torch.cholesky_solve(rest, factor) if not int(failed) else torch.linalg.lstsq(system, rest).solution
        return towards + step
