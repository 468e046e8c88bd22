"""Tasks: what a batch is, and how outputs are judged."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score
from torch import Tensor

from secateur.errors import DataError
from secateur.task import Task, arguments_of, scores_of, target_of


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def judged(make: Callable[..., Task], outputs: np.ndarray, targets: np.ndarray, batch: int = 7) -> dict[str, float]:
    """The quality of given outputs on given targets, batch by batch."""
    x, y = torch.from_numpy(outputs), torch.from_numpy(targets)
    task = make(validation=list(zip(x.split(batch), y.split(batch), strict=True)))
    return task.evaluate("validation", lambda arguments: arguments[0][0])


# --- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_accuracy_is_that_of_scikit_learn(batch: int) -> None:
    outputs, targets = numbers(40, 3), np.random.default_rng(1).integers(0, 3, 40)
    wanted = 100 * accuracy_score(targets, outputs.argmax(1))
    assert judged(Task.classification, outputs, targets, batch) == {"accuracy": pytest.approx(wanted)}


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(1, 3), st.integers(1, 50), st.sampled_from((0.0, 1.0, 1e4)), st.integers(0, 99))
def test_r2_is_that_of_scikit_learn(rows: int, targets: int, batch: int, offset: float, seed: int) -> None:
    y = numbers(rows, targets, seed=seed) + offset
    outputs = y + 0.5 * numbers(rows, targets, seed=seed + 1)
    found = judged(Task.regression, outputs, y, batch)
    assert list(found) == ["r2", "rmse"]
    assert found["r2"] == pytest.approx(100 * r2_score(y, outputs), rel=1e-5, abs=1e-5)
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(y, outputs)), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.5, 3.0])
def test_constant_targets_are_judged_as_scikit_learn_does(value: float) -> None:
    y = np.full((30, 1), value)
    assert judged(Task.regression, y, y)["r2"] == 100 * r2_score(y, y) == 100.0
    assert judged(Task.regression, y + numbers(30, 1), y)["r2"] == 100 * r2_score(y, y + numbers(30, 1)) == 0.0


@pytest.mark.parametrize("value", [0.1, 1e6 / 3])
def test_constant_targets_whose_sums_are_rounded_are_constant_all_the_same(value: float) -> None:
    y = np.full((30, 1), value)
    assert judged(Task.regression, y + numbers(30, 1), y)["r2"] == 0.0


def test_a_target_for_each_row_may_lack_its_axis() -> None:
    y = numbers(30)
    outputs = (y + 0.1 * numbers(30, seed=1))[:, None]
    assert judged(Task.regression, outputs, y)["r2"] == pytest.approx(100 * r2_score(y, outputs))


def test_the_distance_of_classifiers_is_the_divergence_of_softened_scores() -> None:
    student, teacher = numbers(6, 4), numbers(6, 4, seed=1)
    for temperature in (1.0, 3.0):
        p, q = (np.exp(s / temperature) for s in (teacher, student))
        p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
        wanted = temperature**2 * float((p * np.log(p / q)).sum(1).mean())
        found = Task.classification().distance(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
        assert float(found) == pytest.approx(wanted)


def test_the_distance_of_regressors_is_the_mean_square_of_their_difference() -> None:
    student, teacher = numbers(6, 2), numbers(6, 2, seed=1)
    found = Task.regression().distance(torch.from_numpy(student), torch.from_numpy(teacher), 2.0)
    assert float(found) == pytest.approx(float(np.square(student - teacher).mean()))


def test_disagreement_is_the_share_of_rows_with_other_classes_or_else_the_distance() -> None:
    student = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 9.0]])
    teacher = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    assert float(Task.classification().disagreement(student, teacher)) == 0.5
    assert float(Task.regression().disagreement(student, teacher)) == float((student - teacher).square().mean())


def test_losses_are_cross_entropy_and_mean_square() -> None:
    scores, labels = numbers(6, 4), np.array([0, 3, 1, 1, 2, 0])
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    batch = torch.zeros(6, 1), torch.from_numpy(labels)
    wanted = -np.log(shares[np.arange(6), labels]).mean()
    assert float(Task.classification().loss(torch.from_numpy(scores), batch)) == pytest.approx(wanted)
    batch = torch.zeros(6, 1), torch.from_numpy(numbers(6, 4, seed=1)).float()  # of another kind than the output
    wanted = float(np.square(scores - numbers(6, 4, seed=1)).mean())
    assert float(Task.regression().loss(torch.from_numpy(scores), batch)) == pytest.approx(wanted, rel=1e-6)


# --- data that does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, 3, 100])
def test_labels_that_the_model_does_not_know_are_refused(label: int) -> None:
    labels = np.array([0, 1, label])
    found = f"labels from {min(labels)} to {max(labels)}, but the model knows 3 classes \\(0 to 2\\)"
    with pytest.raises(DataError, match=found):
        judged(Task.classification, numbers(3, 3), labels)
    if label != -1:  # torch leaves out any that is -100, and says nothing of others below 0 on some devices
        with pytest.raises(DataError, match=found):
            Task.classification().loss(torch.zeros(3, 3), (torch.zeros(3, 1), torch.from_numpy(labels)))


@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (1,), (5,)])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    task = Task.classification(validation=[(torch.zeros(4, 3), torch.zeros(shape, dtype=torch.long))])
    with pytest.raises(DataError, match=r"labels of shape .* beside class scores of shape \[4, 3\]"):
        task.evaluate("validation", lambda arguments: arguments[0][0])


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2), (12,), (2, 6)])
def test_targets_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    task = Task.regression(validation=[(torch.zeros(4, 3), torch.zeros(shape))])
    with pytest.raises(DataError, match=r"targets of shape .* beside outputs of shape \[4, 3\]"):
        task.evaluate("validation", lambda arguments: arguments[0][0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_targets_that_are_not_finite_are_refused(value: float) -> None:
    targets = numbers(6, 2)
    targets[1, 1] = value
    with pytest.raises(DataError, match="1 of 12 targets"):
        judged(Task.regression, numbers(6, 2), targets)
    with pytest.raises(DataError, match="1 of 12 targets"):
        Task.regression().loss(torch.from_numpy(numbers(6, 2)), (torch.zeros(6, 1), torch.from_numpy(targets)))


def test_inputs_whose_sum_overflows_are_taken() -> None:
    rows = torch.full((2, 4), 6e4, dtype=torch.float16)
    assert len(list(Task.regression(train=[(rows, rows)]).batches("train"))) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_not_finite_are_refused_with_their_batch(value: float) -> None:
    inputs = [torch.zeros(2, 3), torch.zeros(2, 3)]
    inputs[1][0, :2] = value
    task = Task.classification(test=[(x, torch.zeros(2)) for x in inputs])
    with pytest.raises(DataError, match="test batch 1: 2 of 6 input values are NaN or infinite"):
        list(task.batches("test"))


@pytest.mark.parametrize("make", [iter, lambda batches: (batch for batch in batches)])
def test_data_that_can_be_read_only_once_is_refused(make: Callable[[Any], Iterator[Any]]) -> None:
    with pytest.raises(DataError, match="train: an iterator can be read only once"):
        Task.classification(train=make([(torch.zeros(2, 3), torch.zeros(2))]))


def test_missing_and_empty_data_are_refused() -> None:
    with pytest.raises(DataError, match="no validation data"):
        list(Task.classification().batches("validation"))
    with pytest.raises(DataError, match="the test data is empty"):
        list(Task.classification(test=[]).batches("test"))
    with pytest.raises(DataError, match="the calibration data is empty"):
        Task.classification(calibration=[]).example()


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="holdout: not a split"):
        Task.of(
            metric="m",
            loss=lambda *_: torch.zeros(()),
            sums=lambda *_: torch.zeros(1),
            quality=lambda _: {},
            distance=lambda *_: torch.zeros(()),
            holdout=[1],
        )


# --- batches ----------------------------------------------------------------------------------------------------------


def test_calibration_falls_back_on_training_data() -> None:
    batch, other = (torch.zeros(4, 3), torch.zeros(4)), (torch.ones(4, 3), torch.zeros(4))
    assert next(Task.classification(train=[batch]).batches("calibration")) is batch
    assert next(Task.classification(train=[batch], calibration=[other]).batches("calibration")) is other


def test_an_example_is_the_first_rows() -> None:
    batch = (torch.arange(12.0).reshape(4, 3), torch.zeros(4))
    (x,), kwargs = Task.classification(train=[batch]).example(3)
    assert torch.equal(x, batch[0][:3])
    assert kwargs == {}


A, B = torch.ones(2), torch.zeros(2)


@pytest.mark.parametrize(
    ("batch", "args", "kwargs", "target"),
    [
        ((A, B), (A,), {}, B),
        ([A, B], (A,), {}, B),
        (((A, B), B), (A, B), {}, B),
        ([[A, B], B], (A, B), {}, B),
        ({"x": A, "labels": B}, (), {"x": A}, B),
        ({"x": A, "label": B}, (), {"x": A}, B),
    ],
)
def test_a_batch_is_understood(
    batch: Any, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor], target: Tensor
) -> None:
    found_args, found_kwargs = arguments_of(batch)
    assert len(found_args) == len(args)
    assert all(one is other for one, other in zip(found_args, args, strict=True))
    assert found_kwargs.keys() == kwargs.keys()
    assert all(found_kwargs[name] is kwargs[name] for name in kwargs)
    assert target_of(batch) is target


def test_a_tensor_alone_is_an_input() -> None:
    assert arguments_of(A) == ((A,), {})


@pytest.mark.parametrize("batch", [3, None, (), []])
def test_what_is_no_batch_is_refused(batch: object) -> None:
    with pytest.raises(DataError, match="not understood"):
        arguments_of(batch)


def test_a_batch_without_labels_says_so() -> None:
    with pytest.raises(DataError, match="a batch with x, y has no target; name it labels"):
        target_of({"x": A, "y": B})


class Output:
    logits = A


@pytest.mark.parametrize("output", [A, (A, B), [A, B], {"logits": A, "loss": B}, {"first": A, "second": B}, Output()])
def test_the_tensor_that_matters_is_found_in_any_output(output: object) -> None:
    assert scores_of(output) is A
