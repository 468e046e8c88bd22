"""What training after a cut promises."""

import copy
import math
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from secateur.errors import CompressionError, DataError, SettingsError, UnknownNameError
from secateur.recovery import Recovered, Recovery, recover, train
from secateur.result import Event
from secateur.task import Task

Pairs = list[tuple[Tensor, Tensor]]


def rows(count: int = 96, seed: int = 1) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, (inputs[:, 0] + inputs[:, 1] > 0).long()


def pairs(count: int = 96, size: int = 16, seed: int = 1) -> Pairs:
    inputs, targets = rows(count, seed)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


def net(*between: nn.Module, width: int = 8) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), *between, nn.Linear(width, 2))


def assert_same(found: nn.Module, wanted: nn.Module) -> None:
    """Both hold the same values, bit for bit."""
    ours, theirs = found.state_dict(), wanted.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def assert_differ(found: nn.Module, other: nn.Module) -> None:
    with pytest.raises(AssertionError):
        assert_same(found, other)


def accuracy(model: nn.Module, batches: Pairs) -> float:
    hits = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in batches])
    return 100.0 * float(hits.double().mean())


def interrupt_at(step: int) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if event.done == step:
            raise KeyboardInterrupt

    return watch


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


def test_training_never_ends_worse_on_validation_than_it_began() -> None:
    model = recover(net(), Task.classification(train=pairs()), Recovery(epochs=20, learning_rate=0.05))
    wrong = [(inputs, 1 - targets) for inputs, targets in pairs()]
    validation = pairs(64, seed=2)

    found = train(model, Task.classification(train=wrong, validation=validation), Recovery(learning_rate=0.1))

    assert all(epoch.quality < accuracy(model, validation) for epoch in found.epochs)
    assert (found.best_epoch, len(found.epochs)) == (0, 3)
    assert_same(found.model, model)


def test_the_best_epoch_on_validation_is_kept() -> None:
    validation = pairs(200, seed=2)
    settings = Recovery(epochs=8, learning_rate=0.3, optimizer="sgd", momentum=0.95, schedule="constant")

    found = train(net(), Task.classification(train=pairs(64, 8), validation=validation), settings)

    qualities = [epoch.quality for epoch in found.epochs]
    assert found.best_epoch == 1 + qualities.index(max(qualities))
    assert qualities[-1] < max(qualities)
    assert accuracy(found.model, validation) == pytest.approx(max(qualities))


def test_a_tie_goes_to_the_earlier_epoch() -> None:
    model, batches = net(), pairs()
    task = Task.classification(train=batches, validation=[(batches[0][0][:1], batches[0][1][:1])])
    model = recover(model, task, Recovery(epochs=9, learning_rate=0.05))
    found = train(model, task, Recovery())
    assert [epoch.quality for epoch in found.epochs] == [100.0] * 3
    assert found.best_epoch == 0


def test_a_quality_that_is_nan_is_worse_than_any() -> None:
    qualities = iter([math.nan, math.nan, -5.0, math.nan])
    batches = pairs()
    task = Task.of(
        metric="odd",
        loss=lambda output, batch: F.cross_entropy(output, batch[1]),
        sums=lambda *_: torch.zeros(1, dtype=torch.float64),
        quality=lambda _: {"odd": next(qualities)},
        distance=lambda student, teacher, _: F.mse_loss(student, teacher),
        train=batches,
        validation=batches,
    )
    assert train(net(), task, Recovery()).best_epoch == 2


def test_patience_ends_training_after_so_many_epochs_without_gain() -> None:
    wrong = [(inputs, 1 - targets) for inputs, targets in pairs()]
    model = recover(net(), Task.classification(train=pairs()), Recovery(epochs=20, learning_rate=0.05))
    task = Task.classification(train=wrong, validation=pairs(64, seed=2))
    found = train(model, task, Recovery(epochs=9, learning_rate=0.1, patience=2))
    assert [epoch.epoch for epoch in found.epochs] == [1, 2]


def test_patience_needs_validation_data() -> None:
    with pytest.raises(SettingsError, match="patience: 2, but the task has no validation data"):
        train(net(), Task.classification(train=pairs()), Recovery(patience=2))


@pytest.mark.parametrize("place", ["nowhere", "loader", "sampler", "batch sampler"])
def test_one_seed_gives_one_result_to_the_bit_wherever_the_order_is_drawn(place: str) -> None:
    data, own = TensorDataset(*rows()), torch.Generator().manual_seed(77)
    sampler = RandomSampler(data, generator=own)
    loader = {
        "nowhere": DataLoader(data, batch_size=16, shuffle=True),
        "loader": DataLoader(data, batch_size=16, shuffle=True, generator=own),
        "sampler": DataLoader(data, batch_size=16, sampler=sampler),
        "batch sampler": DataLoader(data, batch_sampler=BatchSampler(sampler, 16, drop_last=False)),
    }[place]
    model, task = net(nn.Dropout(0.3)), Task.classification(train=loader)
    before = own.get_state()

    first = recover(model, task, Recovery(seed=5))
    assert torch.equal(own.get_state(), before)
    torch.rand(7)
    torch.rand(7, generator=own)
    moved = own.get_state()
    again = recover(model, task, Recovery(seed=5))
    other = recover(model, task, Recovery(seed=6))

    assert_same(again, first)
    assert_differ(other, first)
    assert torch.equal(own.get_state(), moved)


def test_a_loader_that_does_not_shuffle_keeps_its_generator_too() -> None:
    own = torch.Generator().manual_seed(77)
    loader = DataLoader(TensorDataset(*rows()), batch_size=16, generator=own)
    task = Task.classification(train=loader, validation=loader)
    before = own.get_state()
    recover(net(), task, Recovery())
    assert torch.equal(own.get_state(), before)


def test_randomness_in_validation_comes_from_the_seed() -> None:
    drawn: list[float] = []
    base = Task.classification(train=pairs(), validation=pairs())

    def quality(_: Tensor) -> dict[str, float]:
        drawn.append(torch.rand(()).item())
        return {"accuracy": drawn[-1]}

    for _ in range(2):
        torch.rand(3)
        recover(net(), Task(**{**vars(base), "quality": quality}), Recovery())
    assert drawn[:4] == drawn[4:]


def test_the_order_of_the_data_differs_between_epochs() -> None:
    seen: list[tuple[float, ...]] = []
    inputs, targets = rows(32)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True)
    base = Task.classification(train=loader)

    def arguments(batch: Any) -> Any:
        seen.append(tuple(batch[0][:, 0].tolist()))
        return base.arguments(batch)

    recover(net(), Task(**{**vars(base), "arguments": arguments}), Recovery())
    assert len(set(seen)) == 3
    assert len({tuple(sorted(order)) for order in seen}) == 1


def test_validation_does_not_change_how_training_goes() -> None:
    loader = DataLoader(TensorDataset(*rows()), batch_size=16, shuffle=True)
    shuffled = DataLoader(TensorDataset(*rows(40, seed=2)), batch_size=8, shuffle=True)
    model = net(nn.Dropout(0.3))
    alone = train(model, Task.classification(train=loader), Recovery())
    beside = train(model, Task.classification(train=loader, validation=shuffled), Recovery())
    assert [epoch.loss for epoch in beside.epochs] == [epoch.loss for epoch in alone.epochs]


def test_ctrl_c_keeps_the_epochs_that_are_finished() -> None:
    model, task = net(), Task.classification(train=pairs())
    whole = train(model, task, Recovery(epochs=1, schedule="constant"))
    broken = train(model, task, Recovery(epochs=3, schedule="constant"), watch=interrupt_at(9))
    assert (broken.interrupted, broken.best_epoch, broken.epochs) == (True, 1, whole.epochs)
    assert_same(broken.model, whole.model)
    assert not whole.interrupted


def test_ctrl_c_in_the_first_epoch_gives_the_model_as_it_came() -> None:
    model = net().eval()
    state = torch.get_rng_state()
    found = train(model, Task.classification(train=pairs()), Recovery(), watch=interrupt_at(2))
    assert (found.interrupted, found.best_epoch, found.epochs) == (True, 0, ())
    assert_same(found.model, model)
    assert found.model is not model
    assert not found.model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert PartialState._shared_state == {}


def test_frozen_parameters_and_the_statistics_of_frozen_norms_stay() -> None:
    model = net(nn.BatchNorm1d(8))
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    found = recover(model, Task.classification(train=pairs()), Recovery(weight_decay=0.5))
    assert_same(found[0], model[0])
    assert_same(found[2], model[2])
    assert_differ(found[3], model[3])


def test_a_model_without_trainable_parameters_is_refused() -> None:
    model = net().requires_grad_(False)
    with pytest.raises(
        SettingsError, match=r"Sequential: none of its 4 parameters .* requires_grad_\(\), or set epochs=0"
    ):
        recover(model, Task.classification(train=pairs()), Recovery())
    with pytest.raises(SettingsError, match="none of its 0 parameters"):
        recover(nn.Flatten(), Task.classification(train=pairs()), Recovery())


def test_no_epochs_give_an_unchanged_copy() -> None:
    model = net().requires_grad_(False)
    found = train(model, Task.classification(), Recovery(epochs=0))
    assert found == Recovered(found.model, (), interrupted=False, best_epoch=0)
    assert found.model is not model
    assert_same(found.model, model)


def test_a_batch_that_a_batch_norm_refuses_is_left_out() -> None:
    model, batches = net(nn.BatchNorm1d(8)), pairs(33)
    assert len(batches[-1][0]) == 1
    found = train(model, Task.classification(train=batches), Recovery(epochs=2, schedule="constant"))
    wanted = train(model, Task.classification(train=batches[:-1]), Recovery(epochs=2, schedule="constant"))
    assert [epoch.loss for epoch in found.epochs] == [epoch.loss for epoch in wanted.epochs]
    for ours, theirs in zip(found.model.parameters(), wanted.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(found.model[2].running_var, wanted.model[2].running_var)


def test_batches_of_one_row_alone_are_refused_where_a_batch_norm_trains() -> None:
    singles = Task.classification(train=pairs(3, size=1))
    with pytest.raises(DataError, match=r"train: every batch has one value per channel.*at least two rows"):
        recover(net(nn.BatchNorm1d(8)), singles, Recovery())
    assert_differ(recover(net(), singles, Recovery()), net())


def test_errors_of_the_model_itself_come_through() -> None:
    class Picky(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            raise ValueError(f"not today, {len(inputs)}")

    with pytest.raises(ValueError, match="not today"):
        recover(Picky(4, 2), Task.classification(train=pairs(3, size=1)), Recovery())


def test_a_loss_that_diverges_names_epoch_batch_and_remedy() -> None:
    task = Task.regression(train=[(torch.ones(4, 4), torch.ones(4, 2))] * 3)
    settings = Recovery(learning_rate=1e30, optimizer="sgd", schedule="constant")
    with pytest.raises(
        CompressionError, match=r"epoch 1, batch 1: the loss is (inf|nan); lower the learning rate \(1e\+30;"
    ):
        recover(net(), task, settings)


def test_weights_that_diverge_in_the_last_step_are_refused() -> None:
    task = Task.regression(train=[(torch.ones(4, 4), 1e6 * torch.ones(4, 2))])
    settings = Recovery(epochs=1, learning_rate=3e38, optimizer="sgd")
    with pytest.raises(CompressionError, match=r"epoch 1, batch 0: \d\.\w+ holds NaN or infinity; lower the learning"):
        recover(net(), task, settings)


def test_weights_that_are_nan_from_the_start_are_not_blamed_on_the_learning_rate() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(CompressionError, match="epoch 1, batch 0: the loss is nan before any training; look for NaN"):
        recover(model, Task.classification(train=pairs()), Recovery())


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


def test_zeros_stay_zero_only_when_asked() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[:, 1] = 0.0
        model[0].weight[2, 0] = -0.0
        model[3 - 1].bias.zero_()
    zero = model[0].weight == 0
    task = Task.classification(train=pairs())
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.1}

    kept = recover(model, task, Recovery(keep_zeros=True, **settings))
    free = recover(model, task, Recovery(**settings))

    assert bool((kept[0].weight[zero] == 0).all())
    assert bool((kept[0].weight[~zero] != model[0].weight[~zero]).any())
    assert bool((kept[2].bias != 0).all())
    assert not bool((free[0].weight[zero] == 0).any())


def test_tied_weights_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = recover(model, Task.classification(train=pairs()), Recovery())
    assert found[2].weight is found[0].weight


class Streamed:
    """Batches that can be read again, but have no length."""

    def __init__(self, batches: list[Any]):
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, *, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(left + right)}


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, str]:
        return self.net(left + right), "beside"


def test_batches_of_every_kind_train_alike() -> None:
    plain = pairs()
    settings = Recovery(learning_rate=0.01)
    wanted = recover(net(), Task.classification(train=plain), settings)
    streamed = recover(net(), Task.classification(train=Streamed(plain)), settings)
    dicts = [{"left": inputs, "right": torch.zeros(4), "labels": targets} for inputs, targets in plain]
    named = recover(Named(), Task.classification(train=dicts), settings)
    doubles = [((inputs, torch.zeros(4)), targets) for inputs, targets in plain]
    two = recover(Two(), Task.classification(train=doubles), settings)

    assert_same(streamed, wanted)
    assert_same(named.net, wanted)
    assert_same(two.net, wanted)


def test_progress_is_told_step_by_step() -> None:
    events: list[Event] = []
    train(net(), Task.classification(train=pairs()), Recovery(epochs=2), watch=events.append)
    assert events == [Event("recover", done, 12) for done in range(1, 13)]


def test_a_task_without_training_data_is_refused() -> None:
    with pytest.raises(DataError, match="no train data"):
        recover(net(), Task.classification(), Recovery())
    with pytest.raises(DataError, match="train"):
        recover(net(), Task.classification(train=[]), Recovery())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("epochs", 1.5),
        ("epochs", True),
        ("seed", -1),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", "fast"),
        ("temperature", 0.0),
        ("clip", 0.0),
        ("weight_decay", -0.1),
        ("teacher_weight", 1.1),
        ("teacher_weight", -0.1),
        ("momentum", 1.0),
        ("warmup", 1.0),
        ("milestones", (0.5, 1.0)),
        ("milestones", (0.0,)),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value_and_a_remedy(name: str, value: Any) -> None:
    shown = value[-1] if isinstance(value, tuple) else value
    with pytest.raises(SettingsError) as caught:
        Recovery(**{name: value})
    assert str(caught.value).startswith(f"{name}: {shown!r} is out of range; give ")


@pytest.mark.parametrize(
    "name", ["learning_rate", "temperature", "teacher_weight", "weight_decay", "momentum", "warmup"]
)
def test_the_ends_of_a_range_are_allowed(name: str) -> None:
    ends = {"teacher_weight": (0.0, 1.0), "weight_decay": (0.0, 10.0), "momentum": (0.0, 0.999), "warmup": (0.0, 0.999)}
    for value in ends.get(name, (1e-300, 1e300)):
        assert getattr(Recovery(**{name: value}), name) == value


@pytest.mark.usefixtures("unchecked")
def test_a_name_nobody_knows_brings_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="'adam' is not a known optimizer; did you mean adamw"):
        Recovery(optimizer="adam")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'linear' is not a known schedule"):
        Recovery(schedule="linear")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'fp16' is not a known mixed_precision"):
        Recovery(mixed_precision="fp16")  # type: ignore[arg-type]
