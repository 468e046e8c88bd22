"""Streaming statistics: each sees rows of units batch by batch, keeps float64 sums, and merges exactly."""

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

_SAFE = (1e-20, 1e30)  # the largest sum of squares of a batch, so that those of other units fit float32 too
_LATEST = 32  # batches whose sums are kept apart: a small addition after each costs a tenth of what watching does


@runtime_checkable
class Statistic(Protocol):
    """Something known about units after rows of their outputs have been seen; seeing more gives a new one."""

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> Self: ...


@runtime_checkable
class PlaceStatistic(Protocol):
    """Something known about units after numbers of them have been seen, at all places of maps or texts.

    All axes but the last are rows. `is_finite` says whether all that was seen were finite numbers.
    """

    @property
    def is_finite(self) -> bool: ...

    def observe(self, rows: Shaped[Tensor, "*rows units"]) -> Self: ...


@runtime_checkable
class PairStatistic(Protocol):
    """Something known about units after what goes into them and what comes out has been seen, side by side.

    It is otherwise like a `PlaceStatistic`.
    """

    @property
    def is_finite(self) -> bool: ...

    def observe(self, pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> Self: ...


@runtime_checkable
class Merging(Protocol):
    """A statistic of two samples together, so that several processes can share the work; methods' own may lack it."""

    def merge(self, other: Self) -> Self: ...


@dataclass(frozen=True)
class Moments:
    """Count, sums of deviations from a shift, and of their squares: mean and variance of every unit.

    The shift is a mean of earlier rows, in the precision in which deviations are taken: the rows' own, at least
    float32. It is set anew as the rows double, so that deviations stay of the order of the standard deviation and
    little is lost where squares are subtracted. All sums over batches are float64. `latest` are sums of the latest
    batches, a total and powers in turn, which are not yet in those.
    """

    count: int
    shift: Float[Tensor, " units"]
    total: Float64[Tensor, " units"]
    powers: Float64[Tensor, " units"]
    renewed: int  # the count when the shift was set
    latest: tuple[Float[Tensor, " units"], ...] = ()

    @staticmethod
    def empty() -> "Moments":
        """Nothing seen yet."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return Moments(0, nothing, nothing, nothing, 0)

    @property
    def mean(self) -> Float64[Tensor, " units"]:
        """The mean."""
        return self.shift.double() + self._settled().total / max(self.count, 1)

    @property
    def squares(self) -> Float64[Tensor, " units"]:
        """The summed squared deviations from the mean."""
        settled = self._settled()
        return (settled.powers - settled.total.square() / max(self.count, 1)).clamp(min=0.0)

    @property
    def variance(self) -> Float64[Tensor, " units"]:
        """The population variance."""
        return self.squares / self.count

    def observe(self, rows: Shaped[Tensor, "rows units"]) -> "Moments":
        """The moments with these rows seen as well."""
        count = rows.shape[0]
        if count == 0:
            return self
        if count >= self.count:
            return Moments._of(rows).merge(self)
        if self.count >= 2 * self.renewed:
            return self._shifted(self.mean.to(self.shift.dtype)).observe(rows)
        off = rows - self.shift
        latest = (*self.latest, off.sum(0), off.mul_(off).sum(0))  # quicker than square_
        seen = Moments(self.count + count, self.shift, self.total, self.powers, self.renewed, latest)
        return seen if len(latest) < 2 * _LATEST else seen._settled()

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both samples together (Chan, Golub & LeVeque 1979)."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        own, other = self._settled(), other._shifted(self.shift)
        count = self.count + other.count
        return Moments(count, self.shift, own.total + other.total, own.powers + other.powers, self.renewed)

    @staticmethod
    def _of(rows: Shaped[Tensor, "rows units"]) -> "Moments":
        """The moments of one batch. A constant column gives exact zeros."""
        exact = rows if rows.dtype in (torch.float32, torch.float64) else rows.to(_at_least_float32(rows.dtype))
        shift = exact[0] + (exact - exact[0]).mean(0)
        off = exact - shift
        total, powers = off.sum(0).double(), off.square_().sum(0).double()
        if exact.dtype == torch.float32 and not _SAFE[0] < float(powers.max()) < _SAFE[1] and bool(total.any()):
            return Moments._of(rows.double())
        return Moments(len(rows), shift, total, powers, len(rows))

    def _shifted(self, shift: Float[Tensor, " units"]) -> "Moments":
        """The same moments about another shift."""
        own, step = self._settled(), shift.double() - self.shift.double()
        powers = own.powers - 2.0 * step * own.total + self.count * step.square()
        return Moments(self.count, shift, own.total - self.count * step, powers, self.count)

    def _settled(self) -> "Moments":
        """The same moments, with the latest batches' sums added to the others."""
        if not self.latest:
            return self
        total, powers = (torch.stack(self.latest[i::2]).sum(0, dtype=torch.float64) for i in (0, 1))
        return Moments(self.count, self.shift, self.total + total, self.powers + powers, self.renewed)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.is_floating_point else torch.float64


@dataclass(frozen=True)
class Line:
    """Means, variances and covariance of what goes into every unit and what comes out: the line between them.

    The least-squares line is `slope * z + intercept`; `unexplained` is the mean square that it misses. Population
    variances, in float64.
    """

    count: int
    mean_in: Float64[Tensor, " units"]
    mean_out: Float64[Tensor, " units"]
    var_in: Float64[Tensor, " units"]
    cov: Float64[Tensor, " units"]
    var_out: Float64[Tensor, " units"]

    @staticmethod
    def empty() -> "Line":
        """Nothing seen yet."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return Line(0, *[nothing] * 5)

    @property
    def is_finite(self) -> bool:
        """Whether all that was seen were finite numbers."""
        return all(bool(torch.isfinite(part).all()) for part in (self.var_in, self.cov, self.var_out))

    @property
    def slope(self) -> Float64[Tensor, " units"]:
        """Covariance by variance; 0 where nothing varies that goes in."""
        varies = self.var_in > 0
        return torch.where(varies, self.cov / torch.where(varies, self.var_in, 1.0), 0.0)

    @property
    def intercept(self) -> Float64[Tensor, " units"]:
        """What the line gives at 0."""
        return self.mean_out - self.slope * self.mean_in

    @property
    def unexplained(self) -> Float64[Tensor, " units"]:
        """The variance of what comes out that the line leaves."""
        return (self.var_out - self.slope * self.cov).clamp(min=0.0)

    def observe(self, pre: Shaped[Tensor, "*rows units"], post: Shaped[Tensor, "*rows units"]) -> "Line":
        """The moments with these seen as well."""
        count = pre[..., 0].numel()
        if count == 0:
            return self
        over = tuple(range(pre.dim() - 1))
        dtype = torch.float64 if pre.dtype == torch.float64 else torch.float32
        off_in, shift_in = _deviations(pre.to(dtype), self.mean_in)
        off_out, shift_out = _deviations(post.to(dtype), self.mean_out)
        rest_in, rest_out = (off.mean(over).double() for off in (off_in, off_out))
        cov = (off_in * off_out).mean(over).double() - rest_in * rest_out
        var_in, var_out = (off.square_().mean(over).double() for off in (off_in, off_out))
        means = shift_in + rest_in, shift_out + rest_out
        return self.merge(Line(count, *means, var_in - rest_in.square(), cov, var_out - rest_out.square()))

    def merge(self, other: "Line") -> "Line":
        """The moments of both samples together (Chan, Golub & LeVeque 1979)."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        share = other.count / count
        step_in, step_out = other.mean_in - self.mean_in, other.mean_out - self.mean_out

        def joined(own: Tensor, others: Tensor, steps: Tensor) -> Tensor:
            return (1.0 - share) * own + share * others + (1.0 - share) * share * steps

        return Line(
            count,
            self.mean_in + share * step_in,
            self.mean_out + share * step_out,
            joined(self.var_in, other.var_in, step_in.square()).clamp(min=0.0),
            joined(self.cov, other.cov, step_in * step_out),
            joined(self.var_out, other.var_out, step_out.square()).clamp(min=0.0),
        )


def _deviations(
    rows: Shaped[Tensor, "*rows units"], mean: Float64[Tensor, " earlier"]
) -> tuple[Shaped[Tensor, "*rows units"], Float64[Tensor, " units"]]:
    """The rows less a shift near their mean, which is that of earlier rows where there are any; and the shift."""
    shift = mean.to(rows.dtype) if len(mean) else rows.mean(tuple(range(rows.dim() - 1)))
    return rows - shift, shift.double()


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
    def of(
        inputs: Shaped[Tensor, "rows n"], targets: Shaped[Tensor, "rows targets"], dtype: torch.dtype = torch.float64
    ) -> "Gram":
        """The sums over one batch; `dtype` is that of the products, the sums over batches are float64."""
        x = torch.cat([inputs.to(dtype), torch.ones(len(inputs), 1, dtype=dtype, device=inputs.device)], 1)
        y = targets.to(dtype)
        return Gram(len(x), (x.T @ x).double(), (x.T @ y).double(), y.double().square().sum(0))

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
