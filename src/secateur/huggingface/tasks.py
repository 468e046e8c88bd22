"""What a Trainer of transformers trains for, as a task."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset

from secateur.errors import DataError, SettingsError
from secateur.huggingface.classes import package
from secateur.task import Arguments, Batch, Task, scores_of

_LABELS = "labels"
_METRIC = "negative_loss"
_FIRST = "metric"  # the first of several, whose name is known once they are there


def task_of(trainer: Any, *, scoring: int = 512) -> Task:
    """The task that a Trainer trains for: its data sets, its collator and its loss, so that nobody rewrites them.

    Calibration data are the first `scoring` rows of the training data, in their order; validation data the evaluation
    data. Quality is what the Trainer's `compute_metrics` says, times 100; the figure that decides is its
    `metric_for_best_model`, else the first. Without `compute_metrics` it is the loss, turned around so that higher is
    better.

    Raises:
        DataError: the Trainer has no training data, or data whose length is not known.
        SettingsError: its class computes the loss in a way of its own.
        ModelError: transformers is not installed.
    """
    if type(trainer).compute_loss is not package().Trainer.compute_loss:
        found = f"{type(trainer).__name__} has a compute_loss of its own, which takes the model and not its output"
        raise SettingsError(f"{found}; give the Trainer a compute_loss_func, or write a Task.of your own.")
    make = Task.regression if trainer.model.config.num_labels == 1 else Task.classification
    splits: dict[str, Any] = {"calibration": _first(trainer, scoring), "train": trainer.get_train_dataloader()}
    if trainer.eval_dataset is not None:
        splits["validation"] = trainer.get_eval_dataloader()
    taken = trainer.compute_loss_func is not None or trainer.label_smoother is not None
    task = replace(make(**splits), loss=_loss(trainer), arguments=_without_labels if taken else _with_labels)
    if trainer.compute_metrics is None:
        return replace(task, metric=_METRIC, sums=_loss_sums(task), quality=_mean_loss)
    return _judged(task, trainer)


def _first(trainer: Any, rows: int) -> Iterable[Batch]:
    """Batches of the first rows of the training data, as the Trainer collates them."""
    data = trainer.train_dataset
    if data is None:
        raise DataError("the Trainer has no training data; give it a train_dataset.")
    try:
        length = len(data)
    except TypeError as error:
        raise DataError("the Trainer's training data has no length; give it one that can be indexed.") from error
    batches: Iterable[Batch] = trainer.get_eval_dataloader(Subset(data, range(min(rows, length))))
    return batches


def _with_labels(batch: Batch) -> Arguments:
    return (), dict(batch)


def _without_labels(batch: Batch) -> Arguments:
    return (), {name: value for name, value in batch.items() if name != _LABELS}


def _loss(trainer: Any) -> Callable[[Any, Batch], Tensor]:
    """The Trainer's loss: its own function of output and labels, smoothed labels, or what the model itself puts out."""

    def loss(output: Any, batch: Batch) -> Tensor:
        if trainer.compute_loss_func is not None:
            return trainer.compute_loss_func(output, batch.get(_LABELS), num_items_in_batch=None)
        if trainer.label_smoother is not None:
            return trainer.label_smoother(output, batch[_LABELS])
        if "loss" not in output:
            raise DataError(f"the model puts out {', '.join(output)}, but no loss; do the batches have labels?")
        return output["loss"]

    return loss


def _loss_sums(task: Task) -> Callable[[Any, Batch], Tensor]:
    def sums(output: Any, batch: Batch) -> Tensor:
        rows = len(scores_of(output))
        return torch.tensor([rows * float(task.loss(output, batch).detach()), float(rows)], dtype=torch.float64)

    return sums


def _mean_loss(sums: Tensor) -> dict[str, float]:
    return {_METRIC: -float(sums[0] / sums[1])}


def _judged(task: Task, trainer: Any) -> Task:
    """The task with the quality that a Trainer's `compute_metrics` finds in all scores and labels together."""
    name = str(trainer.args.metric_for_best_model or "").removeprefix("eval_")
    sign = -1.0 if trainer.args.greater_is_better is False else 1.0
    has_classes = trainer.model.config.num_labels > 1

    def quality(found: Tensor) -> dict[str, float]:
        scores, labels = found[:, :-1].float(), found[:, -1].long() if has_classes else found[:, -1].float()
        given = package().EvalPrediction(predictions=scores.numpy(), label_ids=labels.numpy())
        figures = {key.removeprefix("eval_"): 100.0 * float(v) for key, v in trainer.compute_metrics(given).items()}
        decides = name or next(iter(figures))
        if decides not in figures:
            raise DataError(f"compute_metrics gives {', '.join(figures)}, but no {name}; see metric_for_best_model.")
        return {name or _FIRST: sign * figures[decides]} | {key: v for key, v in figures.items() if key != name}

    return replace(task, metric=name or _FIRST, sums=_beside_labels, quality=quality, join=_below)


def _beside_labels(output: Any, batch: Batch) -> Tensor:
    """Scores and label of every row."""
    scores = scores_of(output).detach()
    labels = batch[_LABELS].to(scores.device)
    if labels.shape != scores.shape[:1]:
        found = f"labels of shape {list(labels.shape)} beside scores of shape {list(scores.shape)}"
        raise DataError(f"{found}; compute_metrics needs a label for each row here: write a Task.of of your own.")
    return torch.cat([scores.double().reshape(len(scores), -1), labels.double()[:, None]], 1)


def _below(rows: Tensor, more: Tensor) -> Tensor:
    return torch.cat([rows, more])
