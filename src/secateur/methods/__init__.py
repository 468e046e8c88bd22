"""The methods: one file each, found by its name; and scoring with one or several of them."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from torch import nn

from secateur import userfile
from secateur.calibration import Watch, calibrate_all
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Granularity, Method, Observing, Scores
from secateur.sites import Sites
from secateur.task import Task


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def get(name: str, **settings: Any) -> Method:
    """The method of a name, or the class at `FILE.py:CLASS`, with settings in place of its defaults.

    Raises:
        UnknownNameError: no such method, or no such setting.
        SettingsError: a setting is outside its range, or what the file names is no method.
    """
    written = userfile.split(name)
    if written is None and name not in names():
        raise UnknownNameError("method", name, names())
    method: Method = importlib.import_module(f"{__name__}.{name}").METHOD if written is None else _own(*written)
    known = [field.name for field in dataclasses.fields(method)]  # type: ignore[arg-type]
    for setting in settings:
        if setting not in known:
            raise (
                UnknownNameError(f"setting of {name}", setting, known)
                if known
                else SettingsError(f"{name}: it has no settings, so {setting} cannot be given.")
            )
    return dataclasses.replace(method, **settings)  # type: ignore[type-var]


def address(method: Method) -> str:
    """What `get` finds a method's class by: its name, or the file of a user's own."""
    return userfile.address_of(type(method)) or method.name


def _own(path: Path, name: str) -> Method:
    """The method that a class in a user's file makes."""
    kind = userfile.find(path, name, "method")
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and userfile.address_of(kind)):
        raise SettingsError(f"{path}: {name} is no dataclass of this file, which a method has to be.")
    method = userfile.call(kind, f"{path}:{name}", {})
    if not isinstance(method, Method) or method.granularity not in get_args(Granularity):
        raise SettingsError(f"{path}: {name} lacks name, granularity or score, which a method has.")
    return method


def score(model: nn.Module, sites: Sites, task: Task, method: Method | str, *, watch: Watch = None) -> Scores:
    """What a method says of every unit; `watch` hears how far the pass over the data has come."""
    chosen = get(method) if isinstance(method, str) else method
    return score_all(model, sites, task, [chosen], watch=watch)[chosen.name]


def score_all(
    model: nn.Module, sites: Sites, task: Task, methods: Sequence[Method], *, watch: Watch = None
) -> dict[str, Scores]:
    """What several methods say of every unit; those that watch units share the passes over the data."""
    observing = [method for method in methods if isinstance(method, Observing)]
    found = {method.name: method.score(model, sites, task) for method in methods if method not in observing}
    if observing:
        looks = list(dict.fromkeys(method.watches for method in observing))
        seen = calibrate_all(model, sites, task, looks, watch=watch)
        found |= {method.name: method.judge(model, sites, seen[method.watches]) for method in observing}
    return {method.name: found[method.name] for method in methods}
