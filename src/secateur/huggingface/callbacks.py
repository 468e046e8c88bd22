"""Compression in the middle of a training by transformers' Trainer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback

from secateur import width
from secateur.budget import Latency, select
from secateur.compensation import repair
from secateur.composing import compose
from secateur.continuity import remap_optimizer
from secateur.continuity.optimizers import unwrapped
from secateur.errors import ModelError, SettingsError
from secateur.finding import find_sites
from secateur.methods import score
from secateur.plan import Plan
from secateur.recipe import Stage
from secateur.surgery import certified
from secateur.task import Task


class CompressionCallback(TrainerCallback):
    """Cuts the model that a Trainer trains, in place, after some steps or epochs of its training.

    Each time, an equal part of the stage's budget goes: scored, cut with a certificate, compensated. What the optimizer
    remembers is cut as the parameters are; the schedule goes on where it is. Recovery is the training itself, so that
    the stage's own is not looked at, nor its rounds, which are as many as there are cuts. `task` says what to score and
    mend on, such as `task_of(trainer)`; `plan` is what has been cut so far.

    Raises:
        SettingsError: steps as well as epochs are given, or neither; or the stage goes site by site, takes layers, or
            has a budget of time.
    """

    def __init__(self, task: Task, stage: Stage, *, steps: Sequence[int] = (), epochs: Sequence[int] = ()):
        self._times = tuple(sorted({*steps, *epochs}))
        if bool(steps) == bool(epochs) or self._times[0] < 1:
            raise SettingsError(f"steps={steps!r}, epochs={epochs!r}: give those after which to cut, as one of both.")
        if stage.one_by_one:
            raise SettingsError("one_by_one: a callback cuts all sites at once; leave it out.")
        if stage.method.granularity != "unit" or isinstance(stage.budget, Latency):
            what = "Latency" if isinstance(stage.budget, Latency) else f"{stage.method.name}, which takes layers out"
            raise SettingsError(f"{what}: a callback only cuts units, and has no clock; compress the trained model.")
        self._by_epochs = bool(epochs)
        self._task, self._stage = task, replace(stage, rounds=len(self._times))
        self._done = 0
        self.plan = Plan(method=stage.method.name)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Refuse trainings that a cut would break.

        Raises:
            SettingsError: the best checkpoint is to be loaded at the end, which may have other shapes, or the training
                goes on from a checkpoint.
            ModelError: the model is trained by several processes or devices, which hold copies of it.
        """
        if args.load_best_model_at_end:
            raise SettingsError(
                "load_best_model_at_end: checkpoints from before a cut do not fit the model; leave it out."
            )
        if state.global_step:
            raise SettingsError(
                f"the training goes on at step {state.global_step}; the callback knows only cuts of its own, so start "
                "anew, or compress the trained model."
            )
        if args.world_size > 1 or args.n_gpu > 1:
            found = f"{args.world_size} processes with {max(args.n_gpu, 1)} devices each train copies of the model"
            raise ModelError(f"{found}; a cut in training needs one of each: compress the trained model instead.")

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Cut after a step, if it is time."""
        if not self._by_epochs and state.global_step in self._times:
            self._cut_(given["model"], given["optimizer"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Cut after an epoch, if it is time."""
        if self._by_epochs and round(state.epoch) in self._times:
            self._cut_(given["model"], given["optimizer"])

    def _cut_(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Cut the model and what the optimizer remembers, in place."""
        sites = find_sites(model, self._task)
        gone = {name: len(units) for name, units in self.plan.removed.items()}
        widths = {s.name: (s.units + gone.get(s.name, 0), s.units, s.blocks) for s in sites}
        scores, protected = score(model, sites, self._task, self._stage.method), sites.matching(self._stage.protect)
        budget = self._stage.part(self._done, widths)
        plan = select(scores, sites, budget, protect=protected, multiple_of=self._stage.multiple_of)
        small, plan = certified(model, plan, self._task)
        repaired = repair(small, model, plan, self._task, how=self._stage.compensate)
        goes_on = remap_optimizer(optimizer, model, repaired.model, repaired.plan)
        _become_(model, repaired.model, repaired.plan)
        own = unwrapped(optimizer)
        own.param_groups[:] = goes_on.param_groups  # in place, since the Trainer and the schedule hold on to it
        own.state.clear()
        own.state.update(goes_on.state)
        self.plan = compose(self.plan, repaired.plan)
        self._done += 1


def _become_(model: nn.Module, small: nn.Module, plan: Plan) -> None:
    """Make a model hold another's modules, parameters and sizes, in place."""
    modes = {name: module.training for name, module in model.named_modules()}
    for name, child in list(small._modules.items()):
        model._modules[name] = child
    model._parameters.update(small._parameters)
    model._buffers.update(small._buffers)
    for resize in plan.attributes:
        setattr(model.get_submodule(resize.module), resize.name, resize.after)
    width.update_attributes_(model)
    for name, module in model.named_modules():
        module.training = modes.get(name, model.training)
