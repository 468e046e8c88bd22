"""Tasks: what they say of outputs, and what they refuse."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error
from torch import Tensor

from secateur.errors import DataError
from secateur.task import Task, arguments_of, scores_of, target_of


def batches(size: int, classes: int = 3) -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(50, classes)
    return list(zip(inputs.split(size), torch.randint(0, classes, (50,)).split(size), strict=True))


@pytest.mark.parametrize("size", [1, 7, 50])
def test_accuracy_is_scikit_learns(size: int) -> None:
    data = batches(size)
    task = Task.classification(test=data)
    found = task.evaluate("test", lambda arguments: arguments[0][0])
    labels = torch.cat([y for _, y in data])
    wanted = accuracy_score(labels, torch.cat([x for x, _ in data]).argmax(1))
    assert found["accuracy"] == pytest.approx(100 * wanted)


@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("targets", [1, 2])
def test_r2_and_rmse_are_scikit_learns(size: int, targets: int) -> None:
    inputs = torch.randn(40, targets)
    wanted = inputs + 0.3 * torch.randn(40, targets) + 5.0
    task = Task.regression(test=list(zip(inputs.split(size), wanted.split(size), strict=True)))
    found = task.evaluate("test", lambda arguments: arguments[0][0] + 5.0)
    guess = (inputs + 5.0).double().numpy()
    assert found["r2"] == pytest.approx(100 * r2_score(wanted.numpy(), guess), rel=1e-5)
    if targets == 1:
        assert found["rmse"] == pytest.approx(root_mean_squared_error(wanted.numpy(), guess), rel=1e-5)


def test_a_target_of_one_axis_is_one_column() -> None:
    task = Task.regression(test=[(torch.arange(4.0)[:, None], torch.arange(4.0))])
    assert task.evaluate("test", lambda arguments: arguments[0][0])["r2"] == pytest.approx(100.0)
    assert float(task.loss(torch.arange(4.0)[:, None], (None, torch.arange(4.0)))) == 0.0


def test_the_distance_of_classifiers_is_the_softened_divergence() -> None:
    student, teacher, temperature = torch.randn(6, 4), torch.randn(6, 4), 3.0

    def soft(scores: Tensor) -> np.ndarray:
        powers = np.exp(scores.double().numpy() / temperature)
        return powers / powers.sum(1, keepdims=True)

    p, q = soft(teacher), soft(student)
    wanted = (p * np.log(p / q)).sum(1).mean() * temperature**2
    task = Task.classification()
    assert float(task.distance(student, teacher, temperature)) == pytest.approx(float(wanted), rel=1e-5)


def test_disagreement_is_the_share_of_other_classes() -> None:
    task = Task.classification()
    one, other = torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]
    assert float(task.disagreement(one, other)) == 0.5


def test_disagreement_is_the_distance_where_nothing_else_is_said() -> None:
    task = Task.regression()
    one, other = torch.randn(5, 1), torch.randn(5, 1)
    assert float(task.disagreement(one, other)) == float((one - other).square().mean())


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_named(label: int) -> None:
    task = Task.classification(test=[(torch.randn(2, 3), torch.tensor([0, label]))])
    with pytest.raises(DataError, match=r"labels from .* knows 3 classes"):
        task.evaluate("test", lambda arguments: arguments[0][0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_inputs_that_are_no_numbers_are_named(bad: float) -> None:
    inputs = torch.zeros(4, 2)
    inputs[1, 1] = bad
    task = Task.classification(test=[(torch.zeros(4, 2), torch.zeros(4)), (inputs, torch.zeros(4))])
    with pytest.raises(DataError, match="test batch 1: 1 of 8 input values"):
        list(task.batches("test"))


def test_missing_and_empty_data_are_errors() -> None:
    with pytest.raises(DataError, match="no validation data"):
        list(Task.classification(train=[]).batches("validation"))
    with pytest.raises(DataError, match="train data is empty"):
        list(Task.classification(train=[]).batches("train"))


def test_calibration_falls_back_on_train() -> None:
    data = batches(10)
    assert len(list(Task.classification(train=data).batches("calibration"))) == 5
    assert len(list(Task.classification(train=data, calibration=data[:1]).batches("calibration"))) == 1


def test_an_iterator_can_be_read_only_once_and_is_refused() -> None:
    with pytest.raises(DataError, match="read only once"):
        Task.classification(train=iter(batches(10)))


def test_making_a_task_does_not_start_reading() -> None:
    class Untouched(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError

    Task.classification(train=Untouched(batches(10)))


def test_batches_of_every_common_form_are_understood() -> None:
    x, mask, y = torch.randn(2, 3), torch.ones(2), torch.zeros(2)
    assert arguments_of(x)[0][0] is x
    assert arguments_of((x, y))[0] == (x,)
    assert arguments_of([[x, mask], y])[0] == (x, mask)
    named = {"inputs": x, "labels": y}
    assert arguments_of(named) == ((), {"inputs": x})
    assert target_of(named) is y
    assert target_of((x, y)) is y


def test_the_tensor_that_matters_is_found_in_every_output() -> None:
    x = torch.randn(2, 3)

    class Output(dict[str, Tensor]):
        pass

    forms: tuple[Any, ...] = (x, (x, None), [x], {"logits": x, "loss": 0}, Output(logits=x))
    assert all(scores_of(form) is x for form in forms)
    assert isinstance(Output(), Mapping)


def test_the_example_has_the_first_rows() -> None:
    data = batches(10)
    (example,), named = Task.classification(train=data).example(3)
    assert torch.equal(example, data[0][0][:3])
    assert named == {}
