"""What is tried: every method under every budget, with each compensation, each length of recovery, and every seed."""

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from secateur import methods
from secateur.budget import Budget
from secateur.budget.written import BUDGETS, settings_of
from secateur.comparison import Cell
from secateur.compensation import HOWS, How
from secateur.errors import SettingsError, UnknownNameError
from secateur.recipe import Recipe, Stage, to_dict
from secateur.recovery import Recovery
from secateur.report import figures
from secateur.scores import Method

SEED = "seed"  # the setting of a method that draws
_LEFT = {"params": "parameters left", "macs": "MACs left", "latency": "latency left"}
_GONE = {"site": "of the units removed", "model": "of all units removed, anywhere"}


@dataclass(frozen=True)
class Grid:
    """All combinations that are tried.

    `methods` are names, or methods with settings; `recover` are numbers of epochs. What is random in a cell (training,
    and methods that draw) is done with `seeds` seeds, the same for all methods, from `stage.recovery.seed` on; a cell
    in which nothing is random is done once. All other settings are those of `stage`.

    Raises:
        SettingsError: one of them is empty, holds something twice, or is out of range.
    """

    methods: Sequence[Method | str]
    budgets: Sequence[Budget]
    compensate: Sequence[How] = ("reconstruct",)
    recover: Sequence[int] = (0,)
    seeds: int = 3
    stage: Stage = field(default_factory=Stage)

    def __post_init__(self) -> None:
        for name in ("methods", "budgets", "compensate", "recover"):
            _check_several(name, getattr(self, name))
        for how in self.compensate:
            if how not in HOWS:
                raise UnknownNameError("compensation", how, HOWS)
        for epochs in self.recover:
            Recovery(epochs=epochs)
        if self.seeds < 1:
            raise SettingsError(f"seeds is {self.seeds}; give at least 1.")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every combination: budget by budget, in each method by method."""
        found = [methods.get(one) if isinstance(one, str) else one for one in self.methods]
        parts = itertools.product(self.budgets, found, self.compensate, self.recover)
        return tuple(cell for part in parts for cell in _cells(self, *part))


def in_words(budget: Mapping[str, Any]) -> str:
    """A budget, as plain data of a recipe, in a few words."""
    name = next(name for name in BUDGETS if name in budget)
    amount = budget[name]
    written = _written(amount)
    match name:
        case "share":
            return f"{written} {_GONE[budget['of']]}"
        case "count":
            return f"{written} units of every site removed" if isinstance(amount, int) else "chosen numbers of units"
        case "below":
            return f"units with scores up to {figures.score(amount)}" + (
                " of the largest" if budget["relative"] else ""
            )
    return f"{written} {_LEFT.get(name, name)}"


def named(method: Method) -> str:
    """A method's name, with the settings that are not as usual."""
    usual = type(method)()
    names = [one.name for one in fields(method) if one.name != SEED]  # type: ignore[arg-type]
    odd = [f"{name}={value}" for name in names if (value := getattr(method, name)) != getattr(usual, name)]
    return f"{method.name} ({', '.join(odd)})" if odd else method.name


def _cells(grid: Grid, budget: Budget, method: Method, how: How, epochs: int) -> Iterator[Cell]:
    """A cell for each seed, or one where nothing is random."""
    recovery = grid.stage.recovery or Recovery()
    label = in_words(settings_of(budget))
    draws = any(one.name == SEED for one in fields(method))  # type: ignore[arg-type]
    is_random = epochs > 0 or draws
    for seed in range(recovery.seed, recovery.seed + (grid.seeds if is_random else 1)):
        cell = Cell(named(method), label, how, epochs, seed if is_random else None)
        chosen = replace(method, **{SEED: seed}) if draws else method  # type: ignore[type-var]
        trained = replace(recovery, epochs=epochs, seed=seed) if epochs else None
        try:
            stage = replace(grid.stage, method=chosen, budget=budget, compensate=how, recovery=trained)
            yield replace(cell, recipe=to_dict(Recipe((stage,))))
        except SettingsError as error:
            yield replace(cell, refusal=str(error))


def _written(amount: Any) -> str:
    if isinstance(amount, float):
        return figures.percent(amount).replace(figures.THIN, " ")
    return f"{amount:,}" if isinstance(amount, int) else str(amount)


def _check_several(name: str, values: Sequence[Any]) -> None:
    """Refuse what is empty, or holds something twice.

    Raises:
        SettingsError: it does; the message names it.
    """
    if not values:
        raise SettingsError(f"{name}: none are given; give at least one.")
    twice = _repeated(_identity(value) for value in values)
    if twice is not None:
        raise SettingsError(f"{name}: {twice} is given twice; leave one out.")


def _repeated(values: Iterable[Hashable]) -> Hashable | None:
    seen: set[Hashable] = set()
    return next((value for value in values if value in seen or seen.add(value)), None)  # type: ignore[func-returns-value]


def _identity(value: Any) -> Hashable:
    """What two values share that mean the same."""
    return value if isinstance(value, str | int) else named(value) if isinstance(value, Method) else str(value)
