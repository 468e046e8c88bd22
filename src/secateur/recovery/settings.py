"""How to train after a cut: the settings, checked where they are made."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from secateur.errors import SettingsError, UnknownNameError

_DECAY = 0.1  # what each milestone of the "step" schedule multiplies the learning rate by
_NAMES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "constant", "step"),
    "mixed_precision": ("no", "bf16"),
}


@dataclass(frozen=True)
class Recovery:
    """How to train after a cut.

    `milestones` (of the schedule "step") and `warmup` are shares of all steps: each milestone divides the learning rate
    by ten, warm-up raises it linearly. `patience` is how many epochs in a row may pass without a better validation
    quality. `teacher_weight` is the teacher's share of the loss; at 1 no labels are needed. `clip` limits the norm of
    the gradient. `mixed_precision` "bf16" computes most of student and teacher in bfloat16, which is quicker on
    GPUs and on CPUs with units for it (AMX), and slower on others. `ema_decay` above 0 judges and gives back a running
    average of the weights, of which each step leaves this share (0.99 for hundreds of steps, 0.999 for many thousands;
    early steps leave less). `keep_zeros` keeps the exact zeros of weights (two
    axes or more) at zero. `channels_last` lays out inputs of four axes with their channels last, in which convolutions
    are often quicker; networks that call `view` on them may refuse it.

    Raises:
        SettingsError: a field is outside its range.
    """

    epochs: int = 3
    learning_rate: float = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["cosine", "constant", "step"] = "cosine"
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup: float = 0.0
    patience: int | None = None
    seed: int = 0
    teacher: nn.Module | None = field(default=None, repr=False)
    temperature: float = 2.0
    teacher_weight: float = 0.5
    clip: float | None = None
    mixed_precision: Literal["no", "bf16"] = "no"
    ema_decay: float = 0.0
    keep_zeros: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        for name, known in _NAMES.items():
            if getattr(self, name) not in known:
                raise UnknownNameError(name, str(getattr(self, name)), known)
        for name, least in (("epochs", 0), ("seed", 0), ("patience", 1)):
            _check_whole(name, getattr(self, name), least)
        for name in ("learning_rate", "temperature", "clip"):
            _check(name, getattr(self, name), math.ulp(0.0), math.inf, "a number above 0")
        _check("weight_decay", self.weight_decay, 0.0, math.inf, "a number from 0 up")
        _check("teacher_weight", self.teacher_weight, 0.0, math.nextafter(1.0, 2.0), "a share from 0 to 1")
        for name in ("momentum", "warmup", "ema_decay"):
            _check(name, getattr(self, name), 0.0, 1.0, "a share from 0 up to below 1")
        for share in self.milestones:
            _check("milestones", share, math.ulp(0.0), 1.0, "shares of all steps between 0 and 1")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at a step, counted from 0, of so many."""
        warm = self.warmup * steps
        if step < warm:
            return self.learning_rate * min(1.0, (step + 1) / warm)
        match self.schedule:
            case "constant":
                return self.learning_rate
            case "cosine":
                gone = min(1.0, (step - warm) / (steps - warm))
                return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * gone))
            case "step":
                return self.learning_rate * _DECAY ** sum(share * steps <= step for share in self.milestones)


def _check_whole(name: str, value: Any, least: int) -> None:
    if value is None and name == "patience":
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingsError(f"{name}: {value!r} is out of range; give a whole number from {least} up.")


def _check(name: str, value: Any, least: float, below: float, remedy: str) -> None:
    """Refuse what is not a number in [least, below); NaN never is."""
    if value is None and name == "clip":
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value < below:
        raise SettingsError(f"{name}: {value!r} is out of range; give {remedy}.")
