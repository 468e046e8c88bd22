"""The figures of GLUE are those of scikit-learn and scipy, however the rows come in batches."""

import math
import warnings
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from scipy import stats
from sklearn import metrics
from torch import Tensor

from secateur import Task
from secateur.data.texts.quality import judged, spearman
from secateur.errors import DataError

OF_CLASSES: Mapping[str, Callable[[ndarray, ndarray], float]] = {
    "accuracy": metrics.accuracy_score,
    "f1": lambda true, named: metrics.f1_score(true == 1, named == 1, zero_division=0.0),
    "matthews": metrics.matthews_corrcoef,
}
OF_NUMBERS = {
    "pearson": lambda true, found: stats.pearsonr(true, found).statistic,
    "spearman": lambda true, found: stats.spearmanr(true, found).statistic,
}
BATCHES = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def quality(task: Task, outputs: Tensor, targets: Tensor, sizes: list[int]) -> dict[str, float]:
    """What a task says of outputs, as a model of transformers gives them, in batches of these sizes."""
    batches = [{"input_ids": o, "labels": t} for o, t in zip(outputs.split(sizes), targets.split(sizes), strict=True)]
    whole = Task.of(
        metric=task.metric,
        loss=task.loss,
        sums=task.sums,
        quality=task.quality,
        distance=task.distance,
        join=task.join,
        test=batches,
    )
    return whole.evaluate("test", lambda arguments: SimpleNamespace(logits=arguments[1]["input_ids"]))


@pytest.mark.parametrize("metric", OF_CLASSES)
@settings(max_examples=30)
@given(sizes=BATCHES, classes=st.integers(2, 4), seed=st.integers(0, 99))
def test_figures_of_classes_are_those_of_scikit_learn(metric: Any, sizes: list[int], classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(sum(sizes), classes, generator=generator)
    true = torch.randint(0, classes, (sum(sizes),), generator=generator)
    found = quality(judged(Task.classification(), metric, classes), scores, true, sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that do not come up
        wanted = OF_CLASSES[metric](true.numpy(), scores.argmax(-1).numpy())
    assert next(iter(found)) == metric and "accuracy" in found
    assert found[metric] == pytest.approx(100 * wanted, abs=1e-9)


@pytest.mark.parametrize("metric", OF_NUMBERS)
@settings(max_examples=30)
@given(sizes=BATCHES, seed=st.integers(0, 99), offset=st.sampled_from([0.0, 1e4]))
def test_correlations_are_those_of_scipy_also_with_ties(
    metric: Any, sizes: list[int], seed: int, offset: float
) -> None:
    generator = np.random.default_rng(seed)
    sizes = [*sizes, 2]
    true = np.round(generator.random(sum(sizes)) * 5) / 2
    guess = (true + np.round(generator.normal(size=len(true)), 1) + offset).astype(np.float32)
    true[:2], guess[:2] = (0, 1), (offset, offset + 3)  # neither is always the same
    task = judged(Task.regression(), metric, 0)
    found = quality(task, torch.from_numpy(guess)[:, None], torch.from_numpy(true).float(), sizes)
    assert list(found) == [metric, *(name for name in ("spearman", "pearson") if name != metric)]
    for name, value in found.items():
        assert value == pytest.approx(100 * OF_NUMBERS[name](true, guess.astype(np.float64)), abs=1e-6)


def test_what_is_always_the_same_correlates_with_nothing_and_nan_is_not_hidden() -> None:
    task, true = judged(Task.regression(), "spearman", 0), torch.arange(4.0)
    assert set(quality(task, torch.full((4, 1), 0.1), true, [4]).values()) == {0.0}
    assert math.isnan(spearman(torch.tensor([[0.0, 1.0], [math.nan, 2.0], [1.0, 0.0]]).double()))
    same = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    assert quality(judged(Task.classification(), "matthews", 2), same, true.long() % 2, [4])["matthews"] == 0.0
    assert quality(judged(Task.classification(), "f1", 2), same, torch.zeros(4).long(), [4])["f1"] == 0.0


def test_labels_that_do_not_fit_the_outputs_are_refused() -> None:
    with pytest.raises(DataError, match="labels from 0 to 2, but the model knows 2 classes"):
        quality(judged(Task.classification(), "f1", 3), torch.zeros(3, 2), torch.arange(3), [3])
    with pytest.raises(DataError, match="give as many targets as the model has outputs"):
        quality(judged(Task.regression(), "spearman", 0), torch.zeros(3, 2), torch.ones(3), [3])


def test_a_class_that_only_the_network_knows_is_a_miss() -> None:
    scores = torch.eye(4)[torch.tensor([0, 1, 3, 2])]
    found = quality(judged(Task.classification(), "f1", 2), scores, torch.tensor([0, 1, 1, 0]), [4])
    assert found == {"f1": pytest.approx(100 * 2 / 3), "accuracy": 50.0}
