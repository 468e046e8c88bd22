"""Training what is left of a network, keeping the best of it."""

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from secateur.errors import SettingsError
from secateur.inference import device_of, evaluating
from secateur.recovery.seeding import seeded
from secateur.recovery.session import (
    Session,
    Watch,
    accelerating,
    session_of,
    synchronise,
    train_epoch,
    trainable,
)
from secateur.recovery.settings import Recovery
from secateur.result import Epoch
from secateur.sharing import shared
from secateur.task import Task

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovered:
    """A trained copy, its epochs, whether Ctrl-C ended them, and the epoch that was kept (0: the model as it came)."""

    model: nn.Module
    epochs: tuple[Epoch, ...]
    interrupted: bool
    best_epoch: int = 0


@dataclass(frozen=True)
class _Best:
    """The best epoch so far; no model stands for the model as it came."""

    epoch: int = 0
    quality: float | None = None
    model: nn.Module | None = None


def recover(model: nn.Module, task: Task, recovery: Recovery) -> nn.Module:
    """A trained copy of the model; see `train`."""
    return train(model, task, recovery).model


def train(model: nn.Module, task: Task, recovery: Recovery, *, watch: Watch = None) -> Recovered:
    """A trained copy of the model: as it was after its best epoch, or the last one where there is no validation data.

    The model as it came is epoch 0, and the earlier wins ties: training never ends worse on validation than it began.
    Ctrl-C ends it with the best of the finished epochs.

    One seed gives one result, bit for bit on a CPU with one number of threads. It rules the order of a shuffling
    `DataLoader` too, and leaves every random state as found. Frozen parameters stay as they are, and so do the
    statistics of a batch norm whose parameters are all frozen. A batch that a batch norm refuses (one value per
    channel, as in a last batch of one row) is left out.

    Started by `accelerate launch` or `torchrun`, all processes have to call it, each with all of the data: they share
    every batch, and all get the same network, that of one process up to rounding.

    Raises:
        SettingsError: nothing can be trained, or `patience` is set without validation data.
        DataError: there is no training data, or batch norms refuse every batch.
        CompressionError: the loss or a weight became NaN or infinite.
    """
    if recovery.epochs == 0:
        return Recovered(copy.deepcopy(model), (), interrupted=False)
    _check(model, task, recovery)
    with shared(task, device_of(model)) as together:
        return _trained(model, together, recovery, watch)


def _trained(model: nn.Module, task: Task, recovery: Recovery, watch: Watch) -> Recovered:
    """The training, by the task's processes."""
    epochs: list[Epoch] = []
    best, interrupted = _Best(), False
    with accelerating(model, recovery) as accelerator, seeded(task, recovery.seed, device_of(model)) as reseed:
        try:
            session = session_of(accelerator, model, task, recovery, watch)
            for epoch, better in _epochs(session, reseed):
                epochs.append(epoch)
                best = better
        except KeyboardInterrupt:
            interrupted = True
            _logger.warning("interrupted after epoch %d; keeping epoch %d", len(epochs), best.epoch)
    kept = copy.deepcopy(model) if best.model is None else best.model.to(device_of(model))
    return Recovered(_in_modes_of(model, kept), tuple(epochs), interrupted, best.epoch)


def _check(model: nn.Module, task: Task, recovery: Recovery) -> None:
    if not trainable(model):
        found = f"{type(model).__name__}: none of its {len(list(model.parameters()))} parameters requires a gradient"
        raise SettingsError(f"{found}; unfreeze some with requires_grad_(), or set epochs=0.")
    if recovery.patience is not None and task.validation is None:
        found = f"patience: {recovery.patience}, but the task has no validation data"
        raise SettingsError(f"{found}; give Task.…(validation=…), or leave patience out.")


def _epochs(session: Session, reseed: Callable[[], None]) -> Iterator[tuple[Epoch, _Best]]:
    """Every epoch and the best up to it, until the last or until patience runs out."""
    recovery = session.recovery
    reseed()
    best = _Best(quality=_quality(session))
    for number in range(1, recovery.epochs + 1):
        reseed()
        loss = train_epoch(session, number)
        synchronise(session)
        quality = _quality(session)
        _logger.info("epoch %d of %d: loss %.4g, quality %s", number, recovery.epochs, loss, quality)
        if quality is None or _rank(quality) > _rank(best.quality):
            best = _Best(number, quality, copy.deepcopy(session.found))
        yield Epoch(number, loss, quality, float(session.optimizer.param_groups[0]["lr"])), best
        if recovery.patience is not None and number - best.epoch >= recovery.patience:
            return


def _quality(session: Session) -> float | None:
    if session.task.validation is None:
        return None
    with evaluating(session.found) as predict:
        return session.task.evaluate("validation", predict)[session.task.metric]


def _rank(quality: float | None) -> float:
    """The quality, with NaN below everything."""
    return -math.inf if quality is None or math.isnan(quality) else quality


def _in_modes_of(model: nn.Module, copied: nn.Module) -> nn.Module:
    """The copy, each of its modules set to train or evaluate as in the model."""
    for ours, given in zip(copied.modules(), model.modules(), strict=True):
        ours.training = given.training
    return copied
