"""The means and spreads by which pixels become numbers around 0."""

from collections.abc import Mapping
from dataclasses import dataclass

from secateur.errors import SettingsError, UnknownNameError

PLAIN = 2  # numbers of `normalise=MEAN,STD`


@dataclass(frozen=True)
class Normal:
    """Mean and standard deviation of each colour, of pixels between 0 and 1; one number serves all colours."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def of(self, channels: int) -> "Normal":
        """The numbers of so many channels: for grey images, the mean over the colours."""
        mean, std = (_spread(numbers, channels) for numbers in (self.mean, self.std))
        return Normal(mean, std)


KNOWN: Mapping[str, Normal] = {
    "imagenet": Normal((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar": Normal((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Normal((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "fashion": Normal((0.2860,), (0.3530,)),
    "none": Normal((0.0,), (1.0,)),
}


def read(text: str, scheme: str) -> Normal:
    """The numbers that `normalise=` names: a known name, one number for both mean and spread, or MEAN,STD.

    Raises:
        UnknownNameError: there is no such name.
        SettingsError: the spread is not above 0.
    """
    if text in KNOWN:
        return KNOWN[text]
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UnknownNameError(f"value of {scheme}: normalise", text, [*KNOWN, "0.5"]) from error
    mean, std = numbers[0], numbers[-1]
    if len(numbers) > PLAIN or not (abs(mean) < float("inf") and 0 < std < float("inf")):
        raise SettingsError(f"{scheme}: normalise={text!r}; give MEAN,STD with a STD above 0, or {', '.join(KNOWN)}.")
    return Normal((mean,), (std,))


def _spread(numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) == channels:
        return numbers
    return (sum(numbers) / len(numbers),) * channels
