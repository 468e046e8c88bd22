"""Functions in a user's own Python file: `FILE.py:FUNCTION`."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from torch import Tensor

from secateur.data.dataset import Data, Kind
from secateur.errors import DataError, SettingsError, UnknownNameError
from secateur.task import Split, Task, target_of

KIND_OF_METRIC: dict[str, Kind] = {"accuracy": "classification", "r2": "regression"}


def load(path: Path, name: str, settings: Mapping[str, int]) -> Data:
    """The data that the function returns; a Task tells what its first batch shows.

    The function is given those of the settings that it has parameters for.

    Raises:
        SettingsError: the file or the function is not there, or cannot be called like that.
        DataError: the function returns neither a Task nor a Data.
    """
    returned = call(find_function(path, name), f"{path}:{name}", settings)
    match returned:
        case Data():
            return returned
        case Task():
            return _described(returned, path.stem)
    found = f"returned {type(returned).__name__}"
    raise DataError(f"{path}:{name}: {found}; it must return a secateur Task or Data.")


def find_function(path: Path, name: str) -> Callable[..., Any]:
    """A function of a Python file, which is run to define it; modules beside the file can be imported by it.

    Raises:
        SettingsError: there is no such file or function, or the file cannot be imported.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: no such file; check the path (the current folder is {Path.cwd()}).")
    module = _imported(path)
    functions: dict[str, Callable[..., Any]] = {
        key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")
    }
    if name not in functions:
        raise UnknownNameError(f"function of {path}", name, functions)
    return functions[name]


def call(function: Callable[..., Any], place: str, settings: Mapping[str, Any]) -> Any:
    """What the function returns when it is given those of the settings that it has parameters for.

    Raises:
        SettingsError: the function needs something else.
    """
    signature = inspect.signature(function)
    given = {key: value for key, value in settings.items() if key in signature.parameters}
    try:
        signature.bind(**given)
    except TypeError as error:
        offered = f"it can only be given {', '.join(settings)}" if settings else "it is called without any"
        raise SettingsError(f"{place}: {error}; {offered}, so give the others a default.") from error
    return function(**given)


def _imported(path: Path) -> ModuleType:
    """The file as a module under a name of its own, so that it never takes the place of a library."""
    name = f"secateur_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the path is a file that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up there
    try:
        with _importable(path.resolve().parent), ExitStack() as on_failure:
            on_failure.callback(sys.modules.pop, name)
            spec.loader.exec_module(module)
            on_failure.pop_all()
    except SyntaxError as error:
        place = f"{error.filename}: line {error.lineno}"
        raise SettingsError(f"{place}: {error.msg}; the file is not valid Python.") from error
    except ImportError as error:
        raise SettingsError(f"{path}: cannot be imported: {error}; install what it needs.") from error
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules in the folder can be imported meanwhile."""
    before = sys.path[:]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


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
