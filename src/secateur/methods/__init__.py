"""The methods: one file each, found by its name; and scoring with one or several of them."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

from torch import nn

from secateur.calibration import Watch, calibrate_all
from secateur.errors import SettingsError, UnknownNameError
from secateur.scores import Method, Observing, Scores
from secateur.sites import Sites
from secateur.task import Task


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def get(name: str, **settings: Any) -> Method:
    """The method of a name, with settings in place of its defaults.

    Raises:
        UnknownNameError: no such method, or no such setting.
        SettingsError: a setting is outside its range.
    """
    if name not in names():
        raise UnknownNameError("method", name, names())
    method: Method = importlib.import_module(f"{__name__}.{name}").METHOD
    known = [field.name for field in dataclasses.fields(method)]  # type: ignore[arg-type]
    for setting in settings:
        if setting not in known:
            raise (
                UnknownNameError(f"setting of {name}", setting, known)
                if known
                else SettingsError(f"{name}: it has no settings, so {setting} cannot be given.")
            )
    return dataclasses.replace(method, **settings)  # type: ignore[type-var]


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
