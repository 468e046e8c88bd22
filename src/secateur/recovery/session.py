"""One training as Accelerate runs it: the student, its optimizer, and a step."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import (
    GradientAccumulationPlugin,
    broadcast,
    broadcast_object_list,
    convert_to_fp32,
    send_to_device,
)
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from secateur.errors import CompressionError, DataError
from secateur.inference import device_of, evaluating
from secateur.recovery.settings import Recovery
from secateur.result import Event
from secateur.task import Arguments, Batch, Task

Watch = Callable[[Event], None] | None

IMAGE_AXES = 4

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_ONE_VALUE = "Expected more than 1 value per channel when training"  # how torch's batch norms refuse one row


@dataclass(frozen=True)
class Session:
    """What all steps of one training share; `runner` is the student as Accelerate runs it."""

    accelerator: Accelerator
    student: nn.Module
    runner: nn.Module
    optimizer: Optimizer
    zeros: tuple[tuple[nn.Parameter, Tensor], ...]
    task: Task
    recovery: Recovery
    batches: int
    watch: Watch

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
    """An Accelerator for the model's device; the global state that it leaves is put back as it was found.

    Only the group of processes that it joins under `accelerate launch` stays joined, since joining twice may hang: a
    script that runs so should end with `torch.distributed.destroy_process_group()`.
    """
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
    alone = accelerator.num_processes == 1
    student = copy.deepcopy(model).to(device_of(model) if alone else accelerator.device)
    # Optimizer and data stay bare: Accelerate's wrappers would add a third to a small network's step, and nothing else.
    runner = accelerator.prepare_model(_Shell(student), device_placement=False)
    _set_modes(runner)
    parameters = trainable(student)
    zeros = tuple((p, p.detach() == 0) for p in parameters if p.dim() > 1) if recovery.keep_zeros else ()
    return Session(
        accelerator=accelerator,
        student=student,
        runner=runner,
        optimizer=_optimizer(parameters, recovery),
        zeros=zeros,
        task=task,
        recovery=recovery,
        batches=_batches(task, accelerator.num_processes),
        watch=watch if accelerator.is_main_process else None,
    )


def train_epoch(session: Session, epoch: int) -> float:
    """The mean loss of one epoch's training, in place; epochs count from 1.

    Raises:
        DataError: batch norms refuse every batch.
        CompressionError: the loss or a weight is NaN or infinite.
    """
    losses: list[float] = []
    for index, batch in enumerate(_own_batches(session)):
        done = (epoch - 1) * session.batches + index
        loss = _loss(session, batch)
        if loss is None:
            continue
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise _diverged(session, f"epoch {epoch}, batch {index}: the loss is {losses[-1]}", steps=done)
        _step(session, loss, done)
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


def agreed(loss: float, quality: float | None) -> tuple[float, float | None]:
    """What the main process found, so that all of them decide alike."""
    loss, quality = broadcast_object_list([loss, quality])
    return loss, quality


def synchronise(session: Session) -> None:
    """Give every process the main one's buffers (running statistics), in place; the parameters agree already."""
    if session.accelerator.num_processes > 1:
        for buffer in session.student.buffers():
            buffer.copy_(broadcast(buffer))


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training may change."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _set_modes(runner: nn.Module) -> None:
    """Train everything but the batch norms whose parameters are all frozen: frozen, they keep their statistics too."""
    runner.train()
    for module in runner.modules():
        if isinstance(module, _BATCH_NORMS) and module.affine and not trainable(module):
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


def _batches(task: Task, processes: int) -> int:
    """The batches of an epoch in each process; what has no length is counted in a pass of its own."""
    try:
        found = len(task.train)  # type: ignore[arg-type]
    except TypeError:
        found = sum(1 for _ in task.batches("train"))
    if found < processes:
        raise DataError(f"train: {found} batches for {processes} process(es); each needs at least one.")
    return found // processes


def _own_batches(session: Session) -> Iterator[Batch]:
    """The batches of this process: every n-th one, the same number in each."""
    processes, mine = session.accelerator.num_processes, session.accelerator.process_index
    stop = session.batches * processes if processes > 1 else None
    return itertools.islice(session.task.batches("train"), mine, stop, processes)


def _loss(session: Session, batch: Batch) -> Tensor | None:
    """The loss of a batch, or None where a batch norm refuses it."""
    device = device_of(session.student)
    batch = send_to_device(batch, device)
    arguments = _laid_out(session.task.arguments(batch), session.recovery)
    try:
        output = session.runner(*arguments[0], **arguments[1])
    except ValueError as error:
        if _ONE_VALUE not in str(error) or session.accelerator.num_processes > 1:
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


def _step(session: Session, loss: Tensor, done: int) -> None:
    """One step of the optimizer after `done` others, in place."""
    for group in session.optimizer.param_groups:
        group["lr"] = session.recovery.rate(done, session.steps)
    session.optimizer.zero_grad()
    session.accelerator.backward(loss)
    if session.recovery.clip is not None:
        session.accelerator.clip_grad_norm_(trainable(session.student), session.recovery.clip)
    session.optimizer.step()
    with torch.no_grad():
        for parameter, zero in session.zeros:
            parameter.masked_fill_(zero, 0.0)


def _diverged(session: Session, found: str, *, steps: int) -> CompressionError:
    if steps == 0:
        return CompressionError(f"{found} before any training; look for NaN in the weights and in the targets.")
    rate = f"{session.recovery.learning_rate:g}"
    return CompressionError(f"{found}; lower the learning rate ({rate}; try a tenth), or clip the gradient (clip=1.0).")
