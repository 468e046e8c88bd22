"""`tlc`: an activation whose units hardly ever change sides can be collapsed, each unit to its side."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import index
from typing import Literal

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn
from torch.fx import Node

from secateur.calibration import calibrate
from secateur.errors import DataError, SettingsError, UnknownNameError
from secateur.graph import Traced, operator_of
from secateur.scores import Entering, Scores
from secateur.signs import Spread
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import trace
from secateur.trials import Slopes, Trial, trial_on

STATISTICS = ("auto", "mean", "norm")
RANKINGS = ("closed", "trial")
POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {"sum": torch.sum, "mean": torch.mean}

_SUMS = {"add", "add_", "sub", "dropout", "dropout_", "contiguous", "clone"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Normal:
    """Where the pre-activations of every unit lie: mean and standard deviation."""

    mean: Float64[Tensor, " units"]
    deviation: Float64[Tensor, " units"]

    @property
    def error(self) -> Float64[Tensor, " units"]:
        r"""How likely a pre-activation is on the other side than the mean: $\Phi(-|m| / s)$, 0 where $s$ is."""
        varies = self.deviation > 0
        return torch.where(varies, torch.special.ndtr(-self.mean.abs() / torch.where(varies, self.deviation, 1.0)), 0.0)

    @property
    def on(self) -> Bool[Tensor, " units"]:
        """Which units are taken for on."""
        return self.mean > 0


@dataclass(frozen=True)
class Tlc:
    r"""How often the units of a layer leave their side: $\sum_i \Phi(-|\beta_i| / |\gamma_i|)$.

    Liao, Hezbri, Quétu, Nguyen & Tartaglione, *Till the Layers Collapse: Compressing a Deep Neural Network through the
    Lenses of Batch Normalization Layers*, AAAI 2025 ([arXiv 2412.15077](https://arxiv.org/abs/2412.15077)). Behind a
    batch-norm, what unit $i$'s activation reads is taken for $\mathcal N(\beta_i, \gamma_i^2)$. With $\beta_i > 0$ it
    is on, and the activation is linear there; else off, and gives zero. Where no batch-norm feeds an activation, the
    mean over calibration data is $\beta_i$. To collapse an activation, units that are off become zero, the others
    linear.

    `ranking="trial"` is the paper's: the loss of the network with the activation collapsed, less its own loss, on the
    first `batches` of the validation data; infinite where that loss is not finite. If the smallest is negative,
    `together` says how many of the first go at once: as long as the loss does not rise (their code takes one more,
    `one_further=True`).

    What differs: the closed form is ours, and needs no trials and, if batch-norms feed all activations, no data.
    `pool="mean"` divides it by the number of units. Behind a sum, mean and deviation are measured; their code takes the
    $\beta$ of the batch-norm before the sum, `statistic="norm"`. `statistic="mean"` measures everywhere. Only
    activations are candidates; their code tries MobileNetV2's linear bottlenecks as well.
    """

    ranking: Literal["closed", "trial"] = "closed"
    statistic: Literal["auto", "mean", "norm"] = "auto"
    pool: Literal["sum", "mean"] = "sum"
    batches: int = 1
    one_further: bool = False
    name = "tlc"
    granularity = "layer"
    needs_data = True

    def __post_init__(self) -> None:
        for setting, known in (("ranking", RANKINGS), ("statistic", STATISTICS), ("pool", tuple(POOLS))):
            if getattr(self, setting) not in known:
                raise UnknownNameError(f"{setting} of tlc", getattr(self, setting), known)
        try:
            enough = index(self.batches) >= 1
        except TypeError:
            enough = False
        if not enough:
            raise SettingsError(f"tlc: batches is {self.batches!r}; it must be a whole number from 1 up.")

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """The sum of every activation's errors, or what collapsing it does to the loss."""
        normals = self.normals(model, sites, task)
        match self.ranking:
            case "trial":
                values = _gaps(trial_on(model, sites, task, batches=self.batches), normals)
            case "closed":
                values = {name: POOLS[self.pool](normal.error) for name, normal in normals.items()}
        return Scores(self.name, {name: value.reshape(1) for name, value in values.items()}, comparable=True)

    def normals(self, model: nn.Module, sites: Sites, task: Task) -> Mapping[str, Normal]:
        """Where every activation's pre-activations lie, by its batch-norm or as measured on calibration data."""
        norms = self._norms(model, sites, task)
        others = tuple(each for each in sites.activations if not norms[each.name])
        seen = calibrate(model, replace(sites, activations=others), task, Entering(Spread.empty)) if others else {}
        measured = {name: Normal(spread.mean, spread.variance.sqrt()) for name, spread in seen.items()}
        known = {name: _of_norm(model.get_submodule(norm)) for name, norm in norms.items() if norm}
        return {name: known.get(name) or measured[name] for name in norms}

    def together(self, model: nn.Module, sites: Sites, task: Task, scores: Scores) -> tuple[str, ...]:
        """The activations to collapse at once, in the order of their scores by trial."""
        order = sorted(scores.values, key=lambda name: float(scores.values[name]))
        if self.ranking != "trial" or float(scores.values[order[0]]) >= 0:
            return tuple(order[:1])
        trial, normals = trial_on(model, sites, task, batches=self.batches), self.normals(model, sites, task)
        current = trial.loss({})
        for number in range(2, len(order) + 1):
            if not trial.loss({name: _collapsed(normals[name]) for name in order[:number]}) <= current:
                return tuple(order[: number if self.one_further else number - 1])
        return tuple(order)

    def _norms(self, model: nn.Module, sites: Sites, task: Task) -> dict[str, str]:
        """For every activation the batch-norm that says where its pre-activations lie; "" where they are measured."""
        match self.statistic:
            case "mean":
                return {activation.name: "" for activation in sites.activations}
            case "auto":
                return {activation.name: activation.norm for activation in sites.activations}
        traced = trace(model, task)
        nodes = {node.name: node for node in traced.nodes}
        return {each.name: each.norm or _before_sum(traced, nodes[each.source]) for each in sites.activations}


def _of_norm(norm: nn.Module) -> Normal:
    weight, bias = norm.weight, norm.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)  # a norm is known by its weight
    return Normal(bias.detach().double(), weight.detach().double().abs())


def _before_sum(traced: Traced, source: Node) -> str:
    """The nearest batch-norm whose output goes into a sum that an activation reads, the first operand first."""
    ahead = [source]
    for node in ahead:  # which grows
        operator = operator_of(node) if node.op == "call_function" else ""
        if operator == "batch_norm" and isinstance(node.args[1], Node):
            return traced.tensors.get(node.args[1].name, "").rpartition(".")[0]
        if operator in _SUMS:
            ahead += node.all_input_nodes
    return ""


def _gaps(trial: Trial, normals: Mapping[str, Normal]) -> dict[str, Tensor]:
    """What collapsing each activation alone adds to the loss.

    Raises:
        DataError: the loss is not finite before anything is collapsed.
    """
    current = trial.loss({})
    if not math.isfinite(current):
        raise DataError(f"validation: the loss is {current} before anything is collapsed; look at data and weights.")
    gaps = {name: trial.loss({name: _collapsed(normal)}) - current for name, normal in normals.items()}
    for name in [name for name, gap in gaps.items() if not math.isfinite(gap)]:
        _logger.warning("%s: collapsed, the loss is not finite; it stays", name)
        gaps[name] = math.inf
    return {name: torch.tensor(gap, dtype=torch.float64) for name, gap in gaps.items()}


def _collapsed(normal: Normal) -> Slopes:
    """Units that are on linear, the others zero."""
    return Slopes(normal.on.double(), torch.zeros_like(normal.mean))


METHOD = Tlc()
