"""`linear_fit`: a stretch of layers that one linear operator can stand for, fitted to it, can go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur.compensation.batches import argument_batches, rows_in
from secateur.compensation.collapse import Fit, applied, fits, is_changed
from secateur.errors import ModelError, SettingsError
from secateur.graph import Around, Operator, Traced
from secateur.inference import evaluating
from secateur.scores import Scores
from secateur.sites import Sites, Stretch
from secateur.stretches import stretches_in
from secateur.task import Arguments, Task
from secateur.tracing import trace


@dataclass(frozen=True)
class LinearFit:
    r"""What the network's output loses when one fitted operator stands for a stretch: $D(f(x), f_{\text{fitted}}(x))$.

    A stretch is a residual block, an MLP, or two linear layers with a rectifier between them. One convolution or linear
    layer is fitted to it by ridge least squares on `rows` examples of calibration data. $D$ is the task's distance
    (Kullback–Leibler for classes, the mean square for numbers) on `trial_rows` of them: no labels are needed. Every
    activation in a stretch has the stretch's score; one in no stretch scores twice the largest.

    With `trial=False` the score is the share of the variance that the fit leaves unexplained on unseen rows. It is
    cheaper, and misranks: what is nearly linear may still matter most.

    This method is secateur's own.
    """

    trial: bool = True
    rows: int = 512
    trial_rows: int = 128
    name = "linear_fit"
    granularity = "layer"
    needs_data = True

    def __post_init__(self) -> None:
        for name in ("rows", "trial_rows"):
            if getattr(self, name) < 2:
                raise SettingsError(f"linear_fit: {name} is {getattr(self, name)}; it must be at least 2.")

    def score(self, model: nn.Module, sites: Sites, task: Task) -> Scores:
        """What every activation's stretch costs when an operator stands for it.

        Raises:
            ModelError: no activation is in such a stretch.
        """
        traced = trace(model, task)
        stretches = sites.stretches or stretches_in(traced, sites.activations)
        if not stretches:
            raise ModelError(
                f"{type(model).__name__}: none of its {len(sites.activations)} activations is in a stretch of layers "
                "that one operator can stand for; use another method, such as easier."
            )
        fitted = fits(traced, stretches, task, self.rows)
        costs = {name: fit.error for name, fit in fitted.items()}
        if self.trial:
            batches = list(argument_batches(task, self.trial_rows))
            costs = {one.name: _divergence(traced, (one, fitted[one.name]), task, batches) for one in stretches}
        most = 2.0 * max(costs.values())
        found = dict.fromkeys((activation.name for activation in sites.activations), most)
        for stretch in stretches:
            found |= dict.fromkeys((name for name in stretch.activations if name in found), costs[stretch.name])
        values = {name: torch.tensor([cost], dtype=torch.float64) for name, cost in found.items()}
        return Scores(self.name, values, comparable=True)


def _divergence(traced: Traced, fitted: tuple[Stretch, Fit], task: Task, batches: Sequence[Arguments]) -> float:
    """How far the network's output is from its own when the operator stands for a stretch."""
    total, seen = 0.0, 0
    with evaluating(traced.model) as original:
        for arguments in batches:
            count = rows_in(arguments)
            found = traced.run(arguments, _standing_in(*fitted))
            total += count * float(task.distance(found, original(arguments), 1.0))
            seen += count
    return total / max(seen, 1)


def _standing_in(stretch: Stretch, fit: Fit) -> Around:
    """A run's `around` in which the operator gives the stretch's value."""
    held: list[Tensor] = []

    def around(node: Node, args: tuple[Any, ...], operator: Operator) -> Any:
        for source, value in zip(node.args, args, strict=True):
            if isinstance(source, Node) and source.name == stretch.source and not held:
                held.append(value.clone() if is_changed(source) else value)
        return applied(stretch, fit, held[0]) if node.name == stretch.node else operator(*args)

    return around


METHOD = LinearFit()
