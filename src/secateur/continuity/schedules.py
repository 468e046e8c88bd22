"""Learning rate schedules that go on after a cut."""

import copy

from accelerate.scheduler import AcceleratedScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, ReduceLROnPlateau

from secateur.continuity.optimizers import unwrapped
from secateur.errors import OptimizerError


def remap_scheduler(scheduler: LRScheduler | AcceleratedScheduler, optimizer: Optimizer) -> LRScheduler:
    """A copy of a schedule, at the same step, for the optimizer that `remap_optimizer` made.

    Making the schedule anew and loading its state dict would not do: in being made, most schedules set the learning
    rate as at their start, and several never find back. Of Accelerate's wrappers, what they wrap.

    Raises:
        OptimizerError: the optimizer has another number of parameter groups, or the schedule cannot be copied.
    """
    inner: LRScheduler = scheduler.scheduler if isinstance(scheduler, AcceleratedScheduler) else scheduler
    own = unwrapped(optimizer)
    before, after = (len(o.param_groups) for o in (inner.optimizer, own))
    if before != after:
        raise OptimizerError(
            f"{type(inner).__name__}: it rules {before} parameter group(s), the optimizer has {after}; "
            "give the optimizer that remap_optimizer made of the schedule's."
        )
    try:
        copied = copy.deepcopy(inner, {id(inner.optimizer): own})  # wherever it holds the one, the copy holds the other
    except (TypeError, RuntimeError) as error:
        remedy = "make a new schedule for what is left of the training."
        raise OptimizerError(f"{type(inner).__name__}: the schedule cannot be copied: {error}; {remedy}") from error
    if not isinstance(inner, ReduceLROnPlateau):
        ConstantLR(own, factor=1.0)  # changes nothing; makes torch note the optimizer's steps, which schedules ask for
    return copied
