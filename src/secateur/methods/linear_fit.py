"""`linear_fit`: a stretch of layers that one linear operator can stand for, fitted to it, can go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from secateur.compensation.batches import argument_batches
from secateur.compensation.collapse import Fit, fits, run_with
from secateur.errors import ModelError, SettingsError
from secateur.graph import Traced
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.scores import Scores
from secateur.sites import Sites, Stretch
from secateur.stretches import stretches_in
from secateur.task import Task, rows_in
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
        stretches = sites.stretches or stretches_in(traced, sites.activations, task)
        if not stretches:
            raise ModelError(
                f"{type(model).__name__}: none of its {len(sites.activations)} activations is in a stretch of layers "
                "that one operator can stand for; use another method, such as easier."
            )
        fitted = fits(traced, stretches, task, self.rows)
        costs = {name: fit.error for name, fit in fitted.items()}
        if self.trial:
            costs = _divergences(traced, fitted, stretches, task, self.trial_rows)
        most = 2.0 * max(costs.values())
        found = dict.fromkeys((activation.name for activation in sites.activations), most)
        for stretch in stretches:
            found |= dict.fromkeys((name for name in stretch.activations if name in found), costs[stretch.name])
        values = {name: torch.tensor([cost], dtype=torch.float64) for name, cost in found.items()}
        return Scores(self.name, values, comparable=True)


def _divergences(
    traced: Traced, fitted: Mapping[str, Fit], stretches: Sequence[Stretch], task: Task, rows: int
) -> dict[str, float]:
    """How far the network's output is from its own when the operator stands for each stretch, by its name."""
    totals, seen, texts = dict.fromkeys(fitted, 0.0), 0, texts_of(traced)
    with evaluating(traced.model) as original:
        for arguments in argument_batches(task, rows):
            wanted, count = original(arguments), rows_in(arguments)
            for one in stretches:
                found = texts.hidden(run_with(traced, one, fitted[one.name], arguments), wanted, arguments)
                totals[one.name] += count * float(task.distance(found, wanted, 1.0))
            seen += count
    return {name: total / seen for name, total in totals.items()}


METHOD = LinearFit()
