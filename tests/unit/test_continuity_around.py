"""Continuity of what goes along with an optimizer: schedules, averaged weights, gradient scaling, Accelerate."""

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.scheduler import AcceleratedScheduler
from torch import Tensor, nn, optim
from torch.nn.functional import mse_loss
from torch.optim import SGD, Adam, AdamW, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

from dying import PLAN, assert_slices, batches, network, train_
from footprint import untouched
from secateur.continuity import remap_average, remap_optimizer, remap_scheduler
from secateur.errors import ModelError, OptimizerError, PlanError
from secateur.recovery import Recovery
from secateur.recovery.session import accelerating
from secateur.surgery import apply

CUT = 4

# --- schedules --------------------------------------------------------------------------------------------------------

SCHEDULES: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "lambda": lambda o: lr_scheduler.LambdaLR(o, [lambda epoch: 0.9**epoch, lambda epoch: 1 / (epoch + 1)]),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 1 - 0.1 / epoch),
    "step": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [2, 6]),
    "constant": lambda o: lr_scheduler.ConstantLR(o, 0.3, 6),
    "linear": lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 7),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 9),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, scale_fn=lambda x: 0.9**x),
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 20),
    "sequence": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 4), lr_scheduler.CosineAnnealingLR(o, 8)], [3]
    ),
    "chain": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.1, 5), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "averaging": lambda o: SWALR(o, 0.01, 6),
}


def two_groups(model: nn.Module) -> Optimizer:
    first, *others = model.parameters()
    return SGD([{"params": [first], "lr": 0.2}, {"params": others}], lr=0.05, momentum=0.9)


def rates(optimizer: Optimizer, schedule: LRScheduler, steps: int) -> list[list[float]]:
    """The learning rates of the next steps."""
    found = []
    for _ in range(steps):
        optimizer.step()
        schedule.step(1.0) if isinstance(schedule, ReduceLROnPlateau) else schedule.step()
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


@pytest.mark.parametrize("before", [0, 1, 4])
@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_the_learning_rate_goes_on_as_it_would_have(make: Callable[[Optimizer], LRScheduler], before: int) -> None:
    whole = network()
    optimizer = two_groups(whole)
    schedule = make(optimizer)
    rates(optimizer, schedule, before)
    optimizer.step()
    small = apply(whole, PLAN)

    remapped = remap_optimizer(optimizer, whole, small, PLAN)
    remapped_schedule = remap_scheduler(schedule, remapped)

    assert type(remapped_schedule) is type(schedule)
    assert remapped_schedule.get_last_lr() == schedule.get_last_lr()
    found = rates(remapped, remapped_schedule, 6)
    assert found == rates(optimizer, schedule, 6)  # after: the given ones are untouched by the others' steps
    assert found != [found[0]] * 6


def test_a_schedule_made_anew_from_its_state_goes_astray() -> None:
    whole = network()
    optimizer = two_groups(whole)
    schedule = SCHEDULES["chain"](optimizer)
    rates(optimizer, schedule, 3)
    small = apply(whole, PLAN)
    remapped = remap_optimizer(optimizer, whole, small, PLAN)
    anew = SCHEDULES["chain"](remapped)
    anew.load_state_dict(schedule.state_dict())
    assert rates(remapped, anew, 6) != rates(optimizer, schedule, 6)


def test_a_tensor_as_learning_rate_is_the_new_optimizers_own() -> None:
    whole = network()
    optimizer = Adam(whole.parameters(), lr=torch.tensor(0.1))
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    remapped = remap_optimizer(optimizer, whole, apply(whole, PLAN), PLAN)
    rest = remap_scheduler(schedule, remapped)
    remapped.step()
    rest.step()
    assert (float(optimizer.param_groups[0]["lr"]), float(remapped.param_groups[0]["lr"])) == pytest.approx((0.1, 0.05))


def test_a_schedule_of_other_groups_is_refused() -> None:
    schedule = lr_scheduler.ExponentialLR(two_groups(network()), 0.5)
    with pytest.raises(OptimizerError, match=r"ExponentialLR: it rules 2 .* has 1; give"):
        remap_scheduler(schedule, SGD(network().parameters()))


def test_a_schedule_that_cannot_be_copied_is_refused() -> None:
    optimizer = SGD(network().parameters())
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.lines = (line for line in ())
    with pytest.raises(OptimizerError, match="ExponentialLR: the schedule cannot be copied"):
        remap_scheduler(schedule, optimizer)


# --- averaged weights -------------------------------------------------------------------------------------------------


class TimmLike(nn.Module):
    """An average as timm keeps it: a copy of the network, called `module`, in a module of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(model).eval(), 0.7

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        for mean, value in zip(self.module.state_dict().values(), model.state_dict().values(), strict=True):
            mean.copy_(self.decay * mean + (1 - self.decay) * value)


AVERAGES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "ema": lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8)),
    "ema-buffers": lambda model: AveragedModel(model, avg_fn=get_ema_avg_fn(0.8), use_buffers=True),
    "swa": AveragedModel,
    "timm-like": TimmLike,
}


def train_and_average_(
    model: nn.Module, optimizer: Optimizer, average: nn.Module, data: Iterable[tuple[Tensor, Tensor]]
) -> None:
    for batch in data:
        train_(model, optimizer, [batch])
        average.update_parameters(model)


@pytest.mark.parametrize("make", AVERAGES.values(), ids=AVERAGES)
def test_averages_go_on_as_if_nothing_had_been_cut(make: Callable[[nn.Module], nn.Module]) -> None:
    whole, data = network(), batches()
    optimizer, average = AdamW(whole.parameters(), lr=0.02), make(whole)
    train_and_average_(whole, optimizer, average, data[:CUT])

    small = apply(whole, PLAN)
    with untouched(average):
        small_average = remap_average(average, PLAN)
    train_and_average_(small, remap_optimizer(optimizer, whole, small, PLAN), small_average, data[CUT:])
    train_and_average_(whole, optimizer, average, data[CUT:])

    assert type(small_average) is type(average)
    assert_slices(small_average.module, average.module)
    assert not torch.equal(small_average.module[8].weight, small[8].weight)


def test_a_plain_copy_as_average_is_cut_like_the_network() -> None:
    whole = network()
    average = copy.deepcopy(whole).eval().requires_grad_(False)
    with torch.no_grad():
        average[6].weight.mul_(0.5)
    cut = apply(average, PLAN)
    assert_slices(cut, average)
    assert not any(module.training for module in cut.modules())
    assert not any(parameter.requires_grad for parameter in cut.parameters())


def test_how_many_steps_were_averaged_is_kept() -> None:
    average = AveragedModel(network())
    average.update_parameters(network())
    assert remap_average(average, PLAN).n_averaged == 1


def test_a_network_given_in_place_of_its_average_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Sequential: it holds 0, 1, .* apply"):
        remap_average(network(), PLAN)


def test_an_average_of_another_network_is_refused() -> None:
    with pytest.raises(PlanError, match=r"0\.weight: the plan expects 6 entries"):
        remap_average(AveragedModel(nn.Sequential(nn.Linear(2, 2))), PLAN)


# --- gradient scaling and Accelerate ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_just_goes_on(fused: bool) -> None:
    whole, data = network(), batches()
    optimizer = Adam(whole.parameters(), lr=0.02, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    train_scaled_(whole, optimizer, scaler, data[:CUT])
    beside = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
    beside.load_state_dict(scaler.state_dict())

    small = apply(whole, PLAN)
    train_scaled_(small, remap_optimizer(optimizer, whole, small, PLAN), scaler, data[CUT:])
    train_scaled_(whole, optimizer, beside, data[CUT:])

    assert_slices(small, whole)
    assert scaler.state_dict() == beside.state_dict()
    assert scaler.get_scale() == 32.0  # it grew twice, once after the cut


def train_scaled_(
    model: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler, data: Iterable[tuple[Tensor, Tensor]]
) -> None:
    for rows, targets in data:
        optimizer.zero_grad()
        scaler.scale(mse_loss(model(rows), targets)).backward()
        scaler.step(optimizer)
        scaler.update()


def test_what_accelerate_wrapped_is_unwrapped() -> None:
    whole, data = network(), batches()
    optimizer = AdamW(whole.parameters(), lr=0.02)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 6)
    with accelerating(whole, Recovery()) as accelerator:
        prepared, planned = accelerator.prepare(optimizer, schedule)
        assert isinstance(prepared, AcceleratedOptimizer) and isinstance(planned, AcceleratedScheduler)
        train_and_schedule_(whole, prepared, planned, data[:CUT])

        small = apply(whole, PLAN)
        remapped = remap_optimizer(prepared, whole, small, PLAN)
        rest = remap_scheduler(planned, remapped)
        assert type(remapped) is AdamW
        assert isinstance(rest, lr_scheduler.CosineAnnealingLR)
        train_and_schedule_(small, *accelerator.prepare(remapped, rest), data[CUT:])
        train_and_schedule_(whole, prepared, planned, data[CUT:])
    assert_slices(small, whole)


def train_and_schedule_(
    model: nn.Module, optimizer: Optimizer, schedule: LRScheduler, data: Iterable[tuple[Tensor, Tensor]]
) -> None:
    for batch in data:
        train_(model, optimizer, [batch])
        schedule.step()


def test_the_wrapper_of_accelerate_may_be_prepared_before_the_schedule() -> None:
    whole = network()
    with accelerating(whole, Recovery()) as accelerator:
        prepared = accelerator.prepare(optim.SGD(whole.parameters(), lr=0.1))
        schedule = lr_scheduler.ExponentialLR(prepared, 0.5)
        remapped = remap_optimizer(prepared, whole, apply(whole, PLAN), PLAN)
        again = accelerator.prepare(remapped)
        rest = remap_scheduler(schedule, again)
        again.step()
        rest.step()
        assert remapped.param_groups[0]["lr"] == 0.05
        assert prepared.param_groups[0]["lr"] == 0.1
