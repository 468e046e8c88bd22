"""What the network is for: the only code that knows what a batch looks like."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import zip_longest
from typing import Any, Literal

import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from torch import Tensor

from secateur.errors import DataError
from secateur.processes import ALONE, Processes

Split = Literal["train", "calibration", "validation", "test"]
Batch = Any
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

ROUNDING = 1e-13  # what is left of a constant target's spread when its squares have been added up


@dataclass(frozen=True)
class Task:
    """Batches to train, calibrate, validate and test on, and how to judge an output.

    `arguments` turns a batch into the positional and keyword arguments of the model. `loss` compares an output with its
    batch. `sums` gives a float64 tensor for a batch, which `join` puts together over all batches, usually by adding up;
    `quality` turns the total into named figures, the first of which, `metric`, decides (in points: 0–100, higher is
    better). `distance` compares a student's output with its teacher's at a temperature; `disagreement` says how much
    quality that difference puts at risk. Recovery hands over outputs as they are: where those are of tokens, the ones
    of padding are among them. `processes` are those that share the work on the batches; all of them read all batches,
    in the same order.
    """

    metric: str
    loss: Callable[[Any, Batch], Tensor]
    sums: Callable[[Any, Batch], Tensor]
    quality: Callable[[Tensor], dict[str, float]]
    distance: Callable[[Any, Any, float], Tensor]
    disagreement: Callable[[Any, Any], Tensor]
    arguments: Callable[[Batch], Arguments]
    train: Iterable[Batch] | None = None
    calibration: Iterable[Batch] | None = None
    validation: Iterable[Batch] | None = None
    test: Iterable[Batch] | None = None
    join: Callable[[Tensor, Tensor], Tensor] = torch.add
    processes: Processes = ALONE

    @staticmethod
    def classification(
        *,
        train: Iterable[Batch] | None = None,
        calibration: Iterable[Batch] | None = None,
        validation: Iterable[Batch] | None = None,
        test: Iterable[Batch] | None = None,
    ) -> "Task":
        """A task whose outputs are class scores [rows, classes] and whose batches end in labels [rows]."""
        splits: dict[str, Any] = {"train": train, "calibration": calibration, "validation": validation, "test": test}
        return Task.of(
            metric="accuracy",
            loss=_cross_entropy,
            sums=_hits,
            quality=lambda sums: {"accuracy": 100.0 * float(sums[0] / sums[1])},
            distance=_divergence,
            disagreement=_other_classes,
            **splits,
        )

    @staticmethod
    def regression(
        *,
        train: Iterable[Batch] | None = None,
        calibration: Iterable[Batch] | None = None,
        validation: Iterable[Batch] | None = None,
        test: Iterable[Batch] | None = None,
    ) -> "Task":
        """A task whose outputs and targets are numbers, [rows] or [rows, targets]; its quality is 100 · R²."""
        splits: dict[str, Any] = {"train": train, "calibration": calibration, "validation": validation, "test": test}
        return Task.of(
            metric="r2",
            loss=lambda output, batch: F.mse_loss(*_paired(output, batch)),
            sums=_squares,
            quality=_explained,
            distance=lambda student, teacher, _: F.mse_loss(scores_of(student), scores_of(teacher)),
            **splits,
        )

    @staticmethod
    def of(  # noqa: PLR0913 - the fields of a task, each by its name
        *,
        metric: str,
        loss: Callable[[Any, Batch], Tensor],
        sums: Callable[[Any, Batch], Tensor],
        quality: Callable[[Tensor], dict[str, float]],
        distance: Callable[[Any, Any, float], Tensor],
        disagreement: Callable[[Any, Any], Tensor] | None = None,
        arguments: Callable[[Batch], Arguments] | None = None,
        join: Callable[[Tensor, Tensor], Tensor] = torch.add,
        **splits: Iterable[Batch] | None,
    ) -> "Task":
        """A task of your own functions; see the fields of `Task`.

        Raises:
            DataError: a split can be read only once, or is not a known split.
        """
        for name, batches in splits.items():
            if name not in Split.__args__:  # type: ignore[attr-defined]
                raise DataError(f"{name}: not a split; the splits are {', '.join(Split.__args__)}.")  # type: ignore[attr-defined]
            if isinstance(batches, Iterator):
                raise DataError(f"{name}: an iterator can be read only once; give a list or a DataLoader instead.")
        risk = disagreement or (lambda student, teacher: distance(student, teacher, 1.0))
        reads = arguments or arguments_of
        return Task(metric, loss, sums, quality, distance, risk, reads, join=join, processes=ALONE, **splits)

    def batches(self, split: Split) -> Iterator[Batch]:
        """The batches of a split, each checked for NaN; calibration falls back on train.

        Raises:
            DataError: the split is missing or empty, or a batch holds NaN or infinity.
        """
        source = getattr(self, split)
        if source is None and split == "calibration":
            source = self.train
        if source is None:
            raise DataError(f"the task has no {split} data; give it as Task.…({split}=…).")
        number = -1
        for number, batch in enumerate(source):
            _check_finite(self.arguments(batch), f"{split} batch {number}")
            yield batch
        if number < 0:
            raise DataError(f"the {split} data is empty; at least one batch is needed.")

    def example(self, rows: int = 2) -> Arguments:
        """The arguments of a model for the first rows of the calibration data, to trace with."""
        return rows_at(self.arguments(next(self.batches("calibration"))), slice(rows))

    def evaluate(self, split: Split, predict: Callable[[Arguments], Any]) -> dict[str, float]:
        """The quality of predictions on a split, `metric` first; several processes predict a batch each in turn."""

        def own() -> list[Tensor]:
            batches = self.processes.own(self.batches(split))
            return [self.sums(predict(self.arguments(batch)), batch).cpu() for batch in batches]

        turns = zip_longest(*self.processes.each(own))
        return self.quality(reduce(self.join, (sums for turn in turns for sums in turn if sums is not None)))


def arguments_of(batch: Batch) -> Arguments:
    """The model's arguments in a batch: a tensor, (inputs, target), or a dict whose labels are left out."""
    match batch:
        case Tensor():
            return (batch,), {}
        case Mapping():
            return (), {key: value for key, value in batch.items() if key not in ("labels", "label")}
        case Sequence() if len(batch) >= 1:
            first = batch[0]
            return (tuple(first) if isinstance(first, (tuple, list)) else (first,)), {}
    raise DataError(
        f"a batch of type {type(batch).__name__} is not understood; give (inputs, target), a dict or a tensor."
    )


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors in arguments or outputs of any structure, in order."""
    return [value for value in pytree.tree_leaves(values) if isinstance(value, Tensor)]


def rows_in(arguments: Arguments) -> int:
    """How many examples a model's arguments hold: the first axis of the first tensor that has one."""
    return next((len(tensor) for tensor in tensors_in(arguments) if tensor.dim()), 0)


def rows_at(arguments: Arguments, places: slice) -> Arguments:
    """Some of the examples in a model's arguments: of every tensor that holds as many as there are."""
    rows = rows_in(arguments)

    def at(value: Any) -> Any:
        return value[places] if isinstance(value, Tensor) and value.dim() and len(value) == rows else value

    found: Arguments = pytree.tree_map(at, arguments)
    return found


def target_of(batch: Batch) -> Tensor:
    """The target in a batch: its last entry, or `labels`."""
    if not isinstance(batch, Mapping):
        return batch[-1]
    name = next((name for name in ("labels", "label") if name in batch), None)
    if name is None:
        raise DataError(f"a batch with {', '.join(map(str, batch)) or 'nothing'} has no target; name it labels.")
    return batch[name]


def scores_of(output: Any) -> Tensor:
    """The tensor that matters in a model's output: itself, its `logits`, or the first of several."""
    match output:
        case Tensor():
            return output
        case Mapping():
            return output["logits"] if "logits" in output else next(iter(output.values()))
        case tuple() | list():
            return output[0]
    return output.logits


def not_finite(tensor: Tensor) -> int:
    """How many entries are NaN or infinite."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or math.isfinite(abs(tensor.sum().item())):
        return 0  # a sum is several times quicker, and finite only if all entries are
    return int((~torch.isfinite(tensor)).sum())


def _cross_entropy(output: Any, batch: Batch) -> Tensor:
    """The cross-entropy with labels, or with shares of classes where images were mixed."""
    scores, target = scores_of(output), target_of(batch)
    try:
        return F.cross_entropy(scores, target)
    except IndexError as error:
        raise _no_class(scores, target) from error


def _hits(output: Any, batch: Batch) -> Tensor:
    scores = scores_of(output)
    target = target_of(batch).to(scores.device)
    if target.shape != scores.shape[:-1]:
        found = f"labels of shape {list(target.shape)} beside class scores of shape {list(scores.shape)}"
        raise DataError(f"{found}; give a label for each row, {list(scores.shape[:-1])}.")
    if len(target) and not 0 <= int(target.min()) <= int(target.max()) < scores.shape[-1]:
        raise _no_class(scores, target)
    hits = (scores.argmax(-1) == target).sum()
    return torch.tensor([float(hits), float(target.numel())], dtype=torch.float64)


def _no_class(scores: Tensor, target: Tensor) -> DataError:
    found = f"labels from {int(target.min())} to {int(target.max())}"
    return DataError(f"{found}, but the model knows {scores.shape[-1]} classes (0 to {scores.shape[-1] - 1}).")


def _paired(output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Output and target as [rows, targets]."""
    scores = scores_of(output)
    target = target_of(batch).to(scores.device, scores.dtype)
    if target.numel() != scores.numel() or len(target) != len(scores):
        found = f"targets of shape {list(target.shape)} beside outputs of shape {list(scores.shape)}"
        raise DataError(f"{found}; give as many targets as the model has outputs.")
    if bad := not_finite(target):
        raise DataError(f"{bad} of {target.numel()} targets are NaN or infinite; clean the data first.")
    return scores.reshape(len(target), -1), target.reshape(len(target), -1)


def _squares(output: Any, batch: Batch) -> Tensor:
    """Rows, squared error, sum and sum of squares of the target, for every target in turn."""
    scores, target = (t.double() for t in _paired(output, batch))
    rows = torch.full((target.shape[1],), float(len(target)), dtype=torch.float64, device=target.device)
    return torch.stack([rows, (scores - target).square().sum(0), target.sum(0), target.square().sum(0)])


def _explained(sums: Tensor) -> dict[str, float]:
    rows, squared_error, total, total_squares = sums
    spread = total_squares - total.square() / rows
    r2 = torch.where(
        spread > ROUNDING * total_squares, 1.0 - squared_error / spread, (squared_error == 0).double()
    )  # as scikit-learn does
    return {"r2": 100.0 * float(r2.mean()), "rmse": float((squared_error / rows).mean().sqrt())}


def _divergence(student: Any, teacher: Any, temperature: float) -> Tensor:
    """Kullback–Leibler divergence of softened class scores (Hinton et al., 2015, arXiv 1503.02531)."""
    soft_student = F.log_softmax(scores_of(student) / temperature, -1)
    soft_teacher = F.log_softmax(scores_of(teacher) / temperature, -1)
    return F.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True) * temperature**2


def _other_classes(student: Any, teacher: Any) -> Tensor:
    """The share of rows for which two networks name different classes."""
    return (scores_of(student).argmax(-1) != scores_of(teacher).argmax(-1)).double().mean()


def _check_finite(arguments: Arguments, place: str) -> None:
    args, kwargs = arguments
    for value in (*args, *kwargs.values()):
        bad = not_finite(value) if isinstance(value, Tensor) else 0
        if bad:
            raise DataError(
                f"{place}: {bad} of {value.numel()} input values are NaN or infinite; clean the data first."
            )
