"""A user's own Python file: what `FILE.py:NAME` names in it."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

from secateur.errors import CompressionError, SettingsError, UnknownNameError, first_line

_PREFIX = "secateur_file_"


def split(address: str) -> tuple[Path, str] | None:
    """The file and the name in `FILE.py:NAME`; None for an address of another form."""
    path, colon, name = address.rpartition(":")
    return (Path(path).expanduser(), name) if colon and path.endswith(".py") else None


def address_of(kind: type) -> str | None:
    """The address of a class that was found in a user's file; None for any other class."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return f"{path}:{kind.__name__}" if path and kind.__module__.startswith(_PREFIX) else None


def find(path: Path, name: str, kind: str = "function") -> Callable[..., Any]:
    """A function or class of a Python file, which is run to define it; modules beside the file can be imported by it.

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
        raise UnknownNameError(f"{kind} of {path}", name, functions)
    return functions[name]


def call(function: Callable[..., Any], place: str, settings: Mapping[str, Any]) -> Any:
    """What the function returns when it is given those of the settings that it has parameters for.

    Raises:
        SettingsError: the function needs something else, or raises an error of its own.
    """
    signature = inspect.signature(function)
    given = {key: value for key, value in settings.items() if key in signature.parameters}
    try:
        signature.bind(**given)
    except TypeError as error:
        offered = f"it can only be given {', '.join(settings)}" if settings else "it is called without any"
        raise SettingsError(f"{place}: {error}; {offered}, so give the others a default.") from error
    try:
        return function(**given)
    except CompressionError:
        raise
    except Exception as error:  # a user's code may raise anything; they are told what, and where
        raise _failed(place, error) from error


def _imported(path: Path) -> ModuleType:
    """The file as a module under a name of its own, so that it never takes the place of a library."""
    name = f"{_PREFIX}{path.stem}_{crc32(str(path.resolve()).encode()):08x}"
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
    except CompressionError:
        raise
    except Exception as error:  # as in `call`
        raise _failed(str(path), error) from error
    return module


def _failed(place: str, error: Exception) -> SettingsError:
    """What a user's code raised, and the last line of its file on the way there."""
    file = Path(place.rpartition(":")[0] or place).name
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == file]
    where = f" in line {lines[-1]}" if lines else ""
    return SettingsError(f"{place}: {type(error).__name__}{where}: {first_line(error)}")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules in the folder can be imported meanwhile."""
    before = sys.path[:]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before
