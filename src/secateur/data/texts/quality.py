"""The figures that GLUE asks for, in points: 100 is perfect, 0 is what chance gives for all but accuracy and F1."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.task import Batch, Task, not_finite, scores_of, target_of

MetricName = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
Counts = Float64[Tensor, "classes classes"]  # a row for each class, a column for each that was named
Pairs = Float64[Tensor, "rows 2"]  # prediction and target


def judged(task: Task, metric: MetricName, classes: int) -> Task:
    """A task with the figures of GLUE, `metric` first: of classes accuracy, of numbers (0 classes) both correlations.

    Correlations need all predictions at once, which are kept; the others are counted batch by batch.
    """
    first = metric, *(name for name in _others(metric, classes) if name != metric)
    figures = {name: _FIGURES[name] for name in first}
    if classes == 0:
        return replace(task, metric=metric, sums=_paired(task), join=_joined, quality=_quality(figures))
    return replace(task, metric=metric, sums=_counted(task, classes), quality=_quality(figures))


def accuracy(counts: Counts) -> float:
    """The share of rows whose class was named."""
    return float(counts.diagonal().sum() / counts.sum())


def f1(counts: Counts) -> float:
    """The harmonic mean of precision and recall of class 1; 0 where neither names nor holds it."""
    both = counts[1].sum() + counts[:, 1].sum()
    return float(2 * counts[1, 1] / both) if both else 0.0


def matthews(counts: Counts) -> float:
    """The correlation of classes and named classes (Gorodkin, 2004); 0 where either is always the same."""
    rows, hits = counts.sum(), counts.diagonal().sum()
    true, named = counts.sum(1), counts.sum(0)
    spread = (rows**2 - named @ named) * (rows**2 - true @ true)
    return float((hits * rows - true @ named) / spread.sqrt()) if spread > 0 else 0.0


def pearson(pairs: Pairs) -> float:
    """The linear correlation of predictions and targets; 0 where either is always the same."""
    if not_finite(pairs):
        return math.nan
    centred = pairs - pairs.mean(0)
    centred = centred / centred.abs().amax(0).clamp(min=torch.finfo(centred.dtype).tiny)  # whose squares are no zeros
    a, b = centred.unbind(1)
    spread = (a @ a).sqrt() * (b @ b).sqrt()
    constant = bool((pairs == pairs[0]).all(0).any())
    return 0.0 if constant else float(a @ b / spread)


def spearman(pairs: Pairs) -> float:
    """The correlation of the ranks of predictions and targets, ties with their mean rank."""
    if not_finite(pairs):
        return math.nan
    return pearson(torch.stack([_ranks(column) for column in pairs.unbind(1)], 1))


_FIGURES: Mapping[MetricName, Callable[[Tensor], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def _others(metric: MetricName, classes: int) -> tuple[MetricName, ...]:
    return ("spearman", "pearson") if classes == 0 else (metric, "accuracy")


def _quality(figures: Mapping[MetricName, Callable[[Tensor], float]]) -> Callable[[Tensor], dict[str, float]]:
    return lambda total: {str(name): 100.0 * figure(total) for name, figure in figures.items()}


def _counted(task: Task, classes: int) -> Callable[[Any, Batch], Tensor]:
    """How often each class was named for each class."""

    def counts(output: Any, batch: Batch) -> Tensor:
        task.sums(output, batch)  # which refuses labels that do not fit
        scores = scores_of(output)
        named, true = scores.argmax(-1).clamp(max=classes), target_of(batch).to(scores.device)
        places = (true * (classes + 1) + named).cpu()  # a network may know more classes than there are
        found = torch.bincount(places, minlength=(classes + 1) ** 2).double()
        return found.reshape(classes + 1, classes + 1)

    return counts


def _paired(task: Task) -> Callable[[Any, Batch], Tensor]:
    """Predictions beside their targets."""

    def pairs(output: Any, batch: Batch) -> Tensor:
        task.sums(output, batch)  # which refuses targets that do not fit
        scores = scores_of(output).reshape(-1)
        return torch.stack([scores, target_of(batch).to(scores)], 1).double()

    return pairs


def _joined(total: Float64[Tensor, "before 2"], pairs: Pairs) -> Float64[Tensor, "together 2"]:
    return torch.cat([total, pairs])


def _ranks(values: Float64[Tensor, " rows"]) -> Float64[Tensor, " rows"]:
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0).double() - (counts.double() - 1) / 2)[places]
