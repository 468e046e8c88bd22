"""Training after a cut: what a plain loop would do, with the model and its surroundings left as found."""

import copy
import pickle
import random
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import Tensor, nn

from secateur.recovery import Recovery, recover, train
from secateur.result import Event
from secateur.task import Task
from trained import Pairs, assert_differ, assert_same, net, pairs


def random_states() -> tuple[list[int], str, Any]:
    """The global states of torch, NumPy and Python."""
    numpy = repr([np.asarray(part).tolist() for part in np.random.get_state()])  # noqa: NPY002  # the global one is meant
    return torch.get_rng_state().tolist(), numpy, random.getstate()


def by_hand(
    model: nn.Module, batches: Pairs, optimizer: torch.optim.Optimizer, epochs: int, clip: float | None
) -> None:
    """Training as a textbook writes it, with torch's own schedule, in place."""
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    model.train()
    for _ in range(epochs):
        for inputs, targets in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()


def test_training_is_what_a_plain_loop_with_adamw_does() -> None:
    model, batches = net(), pairs()
    wanted = copy.deepcopy(model)
    by_hand(wanted, batches, torch.optim.AdamW(wanted.parameters(), lr=0.01, weight_decay=0.1), 3, None)

    found = recover(model, Task.classification(train=batches), Recovery(learning_rate=0.01, weight_decay=0.1))

    for ours, theirs in zip(found.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_training_is_what_a_plain_loop_with_sgd_does(clip: float | None) -> None:
    model, batches = net(), pairs()
    wanted = copy.deepcopy(model)
    by_hand(wanted, batches, torch.optim.SGD(wanted.parameters(), lr=0.1, momentum=0.8, weight_decay=0.1), 3, clip)

    settings = Recovery(learning_rate=0.1, optimizer="sgd", momentum=0.8, weight_decay=0.1, clip=clip)
    found = recover(model, Task.classification(train=batches), settings)

    for ours, theirs in zip(found.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def rates_of(schedule: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


def test_schedules_are_those_of_torch() -> None:
    lr_scheduler = torch.optim.lr_scheduler
    for name, make in {
        "constant": lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0),
        "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=20),
        "step": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, milestones=[10, 15], gamma=0.1),
    }.items():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        wanted = rates_of(make(optimizer), optimizer, 20)
        settings = Recovery(epochs=20, learning_rate=0.5, schedule=name)  # type: ignore[arg-type]

        found = train(net(), Task.classification(train=pairs(16)), settings).epochs

        assert [epoch.learning_rate for epoch in found] == pytest.approx(wanted), name


def test_warm_up_rises_in_a_line_and_the_schedule_follows() -> None:
    settings = Recovery(epochs=10, learning_rate=1.0, warmup=0.4)
    assert [settings.rate(step, 10) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert settings.rate(7, 10) == pytest.approx(0.5)
    assert all(0 < Recovery(warmup=0.05).rate(step, 7) <= 1e-3 for step in range(7))


def test_the_given_model_and_its_surroundings_are_left_as_found() -> None:
    model = net(nn.BatchNorm1d(8), nn.Dropout(0.5))
    model[0].eval()
    model[0].weight.requires_grad_(False)
    before, modes = copy.deepcopy(model), [module.training for module in model.modules()]
    states = random_states()

    found = train(model, Task.classification(train=pairs()), Recovery())

    assert found.best_epoch == 3
    assert_same(model, before)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert [module.training for module in found.model.modules()] == modes
    assert [p.requires_grad for p in found.model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert random_states() == states


def test_nothing_of_accelerate_hangs_on_the_result() -> None:
    model = net(nn.BatchNorm1d(8))
    for precision in ("no", "bf16"):
        found = recover(model, Task.classification(train=pairs()), Recovery(mixed_precision=precision))  # type: ignore[arg-type]
        for ours, given in zip(found.modules(), model.modules(), strict=True):
            assert vars(ours).keys() == vars(given).keys()
        assert all(parameter.dtype == torch.float32 for parameter in found.parameters())
        pickle.dumps(found)


def test_calls_with_different_settings_follow_each_other_in_one_process() -> None:
    task = Task.classification(train=pairs())
    first = recover(net(), task, Recovery())
    half = recover(net(), task, Recovery(mixed_precision="bf16"))
    assert_same(recover(net(), task, Recovery()), first)
    assert_differ(half, first)
    assert (AcceleratorState._shared_state, PartialState._shared_state, GradientState._shared_state) == ({}, {}, {})


class Watching(nn.Module):
    """Keeps what it is given, and whether its images lie with their channels last; a linear layer on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 2, 1)
        self.seen: list[tuple[torch.dtype, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        scores = self.last(x)
        self.seen.append((scores.dtype, x.is_contiguous(memory_format=torch.channels_last)))
        return scores.mean((2, 3))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Watching":
        copied = Watching()
        copied.load_state_dict(self.state_dict())
        copied.seen = self.seen
        return copied


def pictures() -> Pairs:
    inputs = torch.randn(32, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    return list(zip(inputs.split(16), (inputs.mean((1, 2, 3)) > 0).long().split(16), strict=True))


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_teacher_computes_in_the_precision_of_the_student(precision: Literal["no", "bf16"]) -> None:
    student, teacher = Watching(), Watching()
    settings = Recovery(epochs=1, teacher=teacher, mixed_precision=precision)
    recover(student, Task.classification(train=pictures()), settings)
    wanted = torch.bfloat16 if precision == "bf16" else torch.float32
    assert [dtype for dtype, _ in teacher.seen] == [dtype for dtype, _ in student.seen] == [wanted, wanted]


def test_images_lie_with_their_channels_last_where_that_is_wanted_and_mean_the_same() -> None:
    student = Watching()
    task = Task.classification(train=pictures())
    first = recover(student, task, Recovery(epochs=1))
    second = recover(student, task, Recovery(epochs=1, channels_last=True))
    assert [last for _, last in student.seen] == [False, False, True, True]
    torch.testing.assert_close(second.last.weight, first.last.weight)  # type: ignore[union-attr]


def test_an_accelerator_of_the_user_survives() -> None:
    kinds = (AcceleratorState, PartialState, GradientState)
    try:
        mine = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)
        before = [dict(kind._shared_state) for kind in kinds]
        recover(net(), Task.classification(train=pairs()), Recovery())
        assert [dict(kind._shared_state) for kind in kinds] == before
        assert (mine.mixed_precision, mine.gradient_accumulation_steps) == ("bf16", 4)
        assert Accelerator(cpu=True).mixed_precision == "bf16"
    finally:
        for kind in kinds:
            kind._shared_state.clear()


def test_progress_is_told_step_by_step() -> None:
    events: list[Event] = []
    train(net(), Task.classification(train=pairs()), Recovery(epochs=2), watch=events.append)
    assert events == [Event("recover", done, 12) for done in range(1, 13)]
