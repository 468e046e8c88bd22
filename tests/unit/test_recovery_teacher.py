"""Recovery with a teacher."""

import copy

import numpy as np
import pytest
import torch.nn.functional as F
from torch import nn

from secateur.recovery import Recovery, recover, train
from secateur.task import Task
from trained import assert_same, net, pairs, rows


def test_the_loss_with_a_teacher_is_the_weighted_sum_of_both() -> None:
    student, teacher = net().eval(), net(width=5)
    (batch,) = pairs(16)
    softened = [np.exp(model(batch[0]).detach().double().numpy() / 4.0) for model in (student, teacher)]
    q, p = (each / each.sum(1, keepdims=True) for each in softened)
    divergence = 4.0**2 * float((p * np.log(p / q)).sum(1).mean())
    labels = F.cross_entropy(student(batch[0]), batch[1]).item()

    for weight in (0.0, 0.25, 1.0):
        settings = Recovery(epochs=1, teacher=teacher, temperature=4.0, teacher_weight=weight)
        (epoch,) = train(student, Task.classification(train=[batch]), settings).epochs
        assert epoch.loss == pytest.approx((1 - weight) * labels + weight * divergence, rel=1e-4)


def test_a_teacher_alone_teaches_without_labels_and_is_left_as_found() -> None:
    teacher = net(nn.Dropout(0.9)).train()
    before = copy.deepcopy(teacher)
    student = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    inputs = rows(256)[0]
    task = Task.regression(train=list(inputs.split(32)))

    found = recover(student, task, Recovery(epochs=30, learning_rate=0.01, teacher=teacher, teacher_weight=1.0))

    assert teacher.training
    assert_same(teacher, before)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    wanted = teacher.eval()(inputs)
    assert F.mse_loss(found(inputs), wanted) < 0.02 * F.mse_loss(student(inputs), wanted)


def test_the_model_may_be_its_own_teacher() -> None:
    model = net()
    task = Task.classification(train=pairs())
    found = train(model, task, Recovery(epochs=1, teacher=model, teacher_weight=1.0, optimizer="sgd"))
    assert found.epochs[0].loss == pytest.approx(0.0, abs=1e-6)
