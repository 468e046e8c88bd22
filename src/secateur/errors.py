"""The errors users meet; each message names the place, the numbers and the remedy.

CompressionError
├── ModelError           the model cannot be traced, holds NaN, or offers nothing to remove
├── DataError            the data cannot be read, or does not fit the task
├── SettingsError        a setting is outside its range
│   └── UnknownNameError a name nobody knows; the nearest known ones are suggested
├── PlanError            a plan does not fit the model
├── BudgetError          a budget cannot be met
├── FoldError            layers cannot be merged into one without a change of what they compute
├── ExactnessError       a cut network is not equal to the silenced original
├── OptimizerError       what an optimizer or a schedule holds cannot follow a cut
├── FileError            a file is damaged, unsafe or cannot be written
└── ExportError          an exported network does not compute what the model does
"""

from collections.abc import Iterable
from difflib import get_close_matches


class CompressionError(Exception):
    """Anything secateur refuses; catch this to catch all of them."""


class ModelError(CompressionError):
    """The model cannot be traced, holds NaN, or offers nothing to remove."""


class DataError(CompressionError):
    """The data cannot be read, or does not fit the task."""


class SettingsError(CompressionError):
    """A setting is outside its range."""


class PlanError(CompressionError):
    """A plan does not fit the model."""


class BudgetError(CompressionError):
    """A budget cannot be met."""


class FoldError(CompressionError):
    """Layers cannot be merged into one without a change of what they compute."""


class ExactnessError(CompressionError):
    """A cut network is not equal to the silenced original."""


class OptimizerError(CompressionError):
    """What an optimizer or a schedule holds cannot follow a cut."""


class FileError(CompressionError):
    """A file is damaged, unsafe or cannot be written."""


class ExportError(CompressionError):
    """An exported network does not compute what the model does."""


class UnknownNameError(SettingsError):
    """A name nobody knows; the message suggests the nearest known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}."
        super().__init__(f"{name!r} is not a known {kind}; {remedy}")


def first_line(error: BaseException) -> str:
    """What an error of another library says first, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
