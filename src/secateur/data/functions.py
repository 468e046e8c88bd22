"""Data from a function in a user's own Python file: `FILE.py:FUNCTION`."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from torch import Tensor

from secateur.data.dataset import Data, Kind
from secateur.errors import DataError
from secateur.task import Split, Task, target_of
from secateur.userfile import call, find

KIND_OF_METRIC: dict[str, Kind] = {"accuracy": "classification", "r2": "regression"}


def load(path: Path, name: str, settings: Mapping[str, int]) -> Data:
    """The data that the function returns; a Task tells what its first batch shows.

    The function is given those of the settings that it has parameters for.

    Raises:
        SettingsError: the file or the function is not there, or cannot be called like that.
        DataError: the function returns neither a Task nor a Data.
    """
    returned = call(find(path, name), f"{path}:{name}", settings)
    match returned:
        case Data():
            return returned
        case Task():
            return _described(returned, path.stem)
    found = f"returned {type(returned).__name__}"
    raise DataError(f"{path}:{name}: {found}; it must return a secateur Task or Data.")


def _described(task: Task, name: str) -> Data:
    """A task with what its metric and first batch show."""
    kind = KIND_OF_METRIC.get(task.metric)
    split = next((split for split in get_args(Split) if getattr(task, split) is not None), None)
    if split is None:
        raise DataError(f"{name}: the task has no data; give it as Task.…(train=…).")
    batch = next(task.batches(split))
    args, kwargs = task.arguments(batch)
    inputs = next(iter((*args, *kwargs.values())), None)
    features = inputs.shape[1] if isinstance(inputs, Tensor) and inputs.dim() == 2 else None
    return Data(task, name, kind, features, _width(target_of(batch)) if kind == "regression" else None)


def _width(target: Tensor) -> int:
    return 1 if target.dim() == 1 else target.shape[1]
