"""One training as Accelerate runs it: the student, its optimizer, and a step."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import GradientAccumulationPlugin, convert_to_fp32, send_to_device
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from secateur.errors import CompressionError, DataError
from secateur.inference import device_of, evaluating
from secateur.recovery.averaging import averaged
from secateur.recovery.parts import BATCH_NORMS, ONE_VALUE, Part, joint_norms, own_randomness, part_of
from secateur.recovery.settings import Recovery
from secateur.result import Event
from secateur.task import Arguments, Batch, Task

Watch = Callable[[Event], None] | None

IMAGE_AXES = 4


@dataclass(frozen=True)
class Session:
    """What all steps of one training share; `runner` is the student as Accelerate runs it."""

    accelerator: Accelerator
    student: nn.Module
    runner: nn.Module
    optimizer: Optimizer
    zeros: tuple[tuple[nn.Parameter, Tensor], ...]
    average: AveragedModel | None
    task: Task
    recovery: Recovery
    batches: int
    watch: Watch

    @property
    def found(self) -> nn.Module:
        """The network that the training has given so far: the student, or its average."""
        return self.student if self.average is None else self.average.module

    @property
    def steps(self) -> int:
        """The steps of all epochs."""
        return self.recovery.epochs * self.batches


class _Shell(nn.Module):
    """The student in a shell: what Accelerate hangs on a module that it prepares stays on the shell."""

    def __init__(self, student: nn.Module):
        super().__init__()
        self.student = student

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.student(*args, **kwargs)


@contextmanager
def accelerating(model: nn.Module, recovery: Recovery) -> Iterator[Accelerator]:
    """An Accelerator for the model's device; the global state that it leaves is put back as it was found."""
    # One process may hold only Accelerators of equal settings, and there is no public way to end one.
    states = [kind._shared_state for kind in (AcceleratorState, PartialState, GradientState)]
    found = [dict(state) for state in states]
    for state in states:
        state.clear()
    try:
        yield Accelerator(
            cpu=device_of(model).type == "cpu",
            mixed_precision=recovery.mixed_precision,
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
    finally:
        for state, before in zip(states, found, strict=True):
            state.clear()
            state.update(before)


def session_of(accelerator: Accelerator, model: nn.Module, task: Task, recovery: Recovery, watch: Watch) -> Session:
    """A training of a copy of the model, before its first step."""
    alone = task.processes.is_alone
    student = copy.deepcopy(model).to(device_of(model) if alone else accelerator.device)
    task.processes.align_(_tensors(student))
    # Optimizer and data stay bare: Accelerate's wrappers would add a third to a small network's step, and nothing else.
    # So does the model: gradients of several processes are added up here, whatever parameters a batch leaves out.
    runner = accelerator.prepare_model(_Shell(student), device_placement=False, evaluation_mode=True)
    _set_modes(runner)
    parameters = trainable(student)
    zeros = tuple((p, p.detach() == 0) for p in parameters if p.dim() > 1) if recovery.keep_zeros else ()
    return Session(
        accelerator=accelerator,
        student=student,
        runner=runner,
        optimizer=_optimizer(parameters, recovery),
        zeros=zeros,
        average=averaged(student, recovery.ema_decay) if recovery.ema_decay else None,
        task=task,
        recovery=recovery,
        batches=_batches(task),
        watch=watch if task.processes.is_main else None,
    )


def train_epoch(session: Session, epoch: int) -> float:
    """The mean loss of one epoch's training, in place; epochs count from 1.

    Raises:
        DataError: batch norms refuse every batch.
        CompressionError: the loss or a weight is NaN or infinite.
    """
    losses: list[float] = []
    for index, batch in enumerate(session.task.batches("train")):
        done = (epoch - 1) * session.batches + index
        loss = _shared_loss(session, batch, done)
        if loss is None:
            continue
        losses.append(loss)
        if not math.isfinite(loss):
            raise _diverged(session, f"epoch {epoch}, batch {index}: the loss is {loss}", steps=done)
        _step(session, done)
        if session.watch is not None:
            session.watch(Event("recover", done + 1, session.steps))
    if not losses:
        found = "every batch has one value per channel, on which a batch norm cannot train"
        raise DataError(f"train: {found}; give batches of at least two rows, or freeze the batch norms.")
    for name, parameter in session.student.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            place = f"epoch {epoch}, batch {session.batches - 1}: {name} holds NaN or infinity"
            raise _diverged(session, place, steps=epoch * session.batches)
    return sum(losses) / len(losses)


def synchronise(session: Session) -> None:
    """Give every process the main one's network, in place: what rounding, or its own buffers, made different."""
    session.task.processes.align_(_tensors(session.student))
    if session.average is not None:
        session.task.processes.align_(_tensors(session.average))


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training may change."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _set_modes(runner: nn.Module) -> None:
    """Train everything but the batch norms whose parameters are all frozen: frozen, they keep their statistics too."""
    runner.train()
    for module in runner.modules():
        if isinstance(module, BATCH_NORMS) and module.affine and not trainable(module):
            module.eval()


def _optimizer(parameters: list[nn.Parameter], recovery: Recovery) -> Optimizer:
    rate, decay = recovery.learning_rate, recovery.weight_decay
    # One kernel instead of several per parameter saves a fifth of a small network's step.
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    match recovery.optimizer:
        case "adamw":
            return AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)
        case "sgd":
            return SGD(parameters, lr=rate, weight_decay=decay, momentum=recovery.momentum, fused=fused)


def _batches(task: Task) -> int:
    """The batches of an epoch; what has no length is counted in a pass of its own."""
    try:
        return len(task.train)  # type: ignore[arg-type]
    except TypeError:
        return sum(1 for _ in task.batches("train"))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Everything that a network holds."""
    yield from model.parameters()
    yield from model.buffers()


def _shared_loss(session: Session, batch: Batch, done: int) -> float | None:
    """The loss of a batch, its gradients left in the parameters; or None where a batch norm refuses it."""
    processes, student = session.task.processes, session.student
    batch = send_to_device(batch, device_of(student))
    session.optimizer.zero_grad()
    if processes.is_alone:
        loss = _loss(session, batch)
        if loss is None:
            return None
        session.accelerator.backward(loss)
        return float(loss.detach())
    part = part_of(batch, session.task.arguments(batch), processes)
    with own_randomness(processes, device_of(student), (session.recovery.seed, done)):
        loss = _loss_of_part(session, part)
    return None if loss is None else _added_up(session, loss)


def _loss_of_part(session: Session, part: Part) -> Tensor | None:
    """The share of a batch's loss that one part of it has, its gradients left in the parameters."""
    norms = nullcontext() if part.is_whole else joint_norms(session.student, session.task.processes)
    with norms:
        loss = _loss(session, part.batch)
        if loss is None:
            return None
        loss = loss * part.share
        session.accelerator.backward(loss)
    return loss.detach()


def _added_up(session: Session, loss: Tensor) -> float:
    """The loss of a whole batch from that of a part, and its gradients in the parameters.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed at some process.
    """
    processes, parameters = session.task.processes, trainable(session.student)
    stop = torch.tensor(float(processes.interrupts.wanted), device=loss.device)
    used = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
    slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    stop, loss, used, *slopes = processes.summed([stop, loss, used, *slopes])
    if stop:
        raise processes.interrupts.end()
    for parameter, slope, count in zip(parameters, slopes, used.tolist(), strict=True):
        parameter.grad = slope if count else None  # the optimizer leaves alone what nobody used
    return float(loss)


def _loss(session: Session, batch: Batch) -> Tensor | None:
    """The loss of a batch, or None where a batch norm refuses it."""
    device = device_of(session.student)
    arguments = _laid_out(session.task.arguments(batch), session.recovery)
    try:
        output = session.runner(*arguments[0], **arguments[1])
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        return None
    teacher, weight = session.recovery.teacher, session.recovery.teacher_weight
    if teacher is None or weight == 0.0:
        return session.task.loss(output, batch)
    with evaluating(teacher) as predict, session.accelerator.autocast():
        taught = convert_to_fp32(send_to_device(predict(arguments), device))
    distance = session.task.distance(output, taught, session.recovery.temperature)
    return distance if weight == 1.0 else (1.0 - weight) * session.task.loss(output, batch) + weight * distance


def _laid_out(arguments: Arguments, recovery: Recovery) -> Arguments:
    """The arguments, those of four axes with their channels last in memory where that is wanted."""
    if not recovery.channels_last:
        return arguments
    args, kwargs = arguments
    return tuple(map(_channels_last, args)), {name: _channels_last(value) for name, value in kwargs.items()}


def _channels_last(value: Any) -> Any:
    is_image = isinstance(value, Tensor) and value.dim() == IMAGE_AXES
    return value.contiguous(memory_format=torch.channels_last) if is_image else value


def _step(session: Session, done: int) -> None:
    """One step of the optimizer after `done` others, in place."""
    for group in session.optimizer.param_groups:
        group["lr"] = session.recovery.rate(done, session.steps)
    if session.recovery.clip is not None:
        session.accelerator.clip_grad_norm_(trainable(session.student), session.recovery.clip)
    session.optimizer.step()
    with torch.no_grad():
        for parameter, zero in session.zeros:
            parameter.masked_fill_(zero, 0.0)
    if session.average is not None:
        session.average.update_parameters(session.student)


def _diverged(session: Session, found: str, *, steps: int) -> CompressionError:
    if steps == 0:
        return CompressionError(f"{found} before any training; look for NaN in the weights and in the targets.")
    rate = f"{session.recovery.learning_rate:g}"
    return CompressionError(f"{found}; lower the learning rate ({rate}; try a tenth), or clip the gradient (clip=1.0).")
