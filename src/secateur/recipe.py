"""A recipe: the line's loops as data, in Python or TOML."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from secateur import methods
from secateur.budget import Become, Budget, Count, Latency, Macs, Params, Share
from secateur.budget.layers import BECOMES
from secateur.budget.ranking import nearest
from secateur.budget.written import BUDGETS, budget_of, settings_of
from secateur.compensation import HOWS, How
from secateur.errors import FileError, SettingsError, UnknownNameError
from secateur.recovery import Recovery
from secateur.recovery.plain import check_keys, recovery_data, recovery_of
from secateur.scores import Masking, Method

Form = Become | Literal["mask"]

_FORMS: Mapping[str, Become] = {"linear_fit": "collapse", "block_influence": "drop"}
FORMS: tuple[str, ...] = (*BECOMES, "mask")


def usual_form(method: str) -> Become:
    """What layers that go by a method turn into where nothing is said."""
    return _FORMS.get(method, "affine")


@dataclass(frozen=True)
class Stage:
    """One method under one budget: what is removed, in how many rounds, and what is done after each.

    The budget is for the whole stage; each round does an equal part of it (`Below`, whole numbers of `Params` and
    `Macs`, and milliseconds: all of it). `protect` holds patterns of sites that lose nothing. `one_by_one` scores anew
    after each site. `distil` recovers with the original as teacher. `multiple_of` rounds what is left of every site
    (see `select`). `stability` scores two halves of the data as well, at the price of one more pass in each round.
    With a method of layers, `become` says what those that go turn into (see `replace_layers`): by default `collapse`
    for `linear_fit`, `drop` for `block_influence`, `affine` for the others. Compensation then is `reconstruct` or none;
    and `fold` merges what has become linear wherever that is exact and does not cost more. `to_the_end` takes one layer
    a round until none is left, whatever the budget.
    With `become="mask"` no layer goes: the budget's share of the weights that lead to activations becomes zero, as
    `masking.mask` has it, and recovery should keep it so (`keep_zeros`).

    Raises:
        SettingsError: a field is outside its range, or the budget cannot be shared out over rounds or sites.
    """

    method: Method = field(default_factory=lambda: methods.get("dense"))
    budget: Budget = field(default_factory=lambda: Share(0.5))
    rounds: int = 1
    compensate: How = "reconstruct"
    recovery: Recovery | None = field(default_factory=Recovery)
    distil: bool = True
    protect: tuple[str, ...] = ()
    one_by_one: bool = False
    multiple_of: int = 1
    become: Form | None = None
    fold: bool = True
    to_the_end: bool = False
    stability: bool = False

    def __post_init__(self) -> None:
        self._check_layers()
        if self.rounds < 1:
            raise SettingsError(f"rounds is {self.rounds}; at least one is needed.")
        if self.multiple_of < 1:
            raise SettingsError(f"multiple_of is {self.multiple_of}; give at least 1.")
        if self.compensate not in HOWS:
            raise UnknownNameError("compensation", self.compensate, HOWS)
        match self.budget:
            case Params() | Macs() | Latency() | Share(_, "model") if self.one_by_one:
                remedy = "give a share of each site, count or below."
                raise SettingsError(f"one_by_one goes site by site, and {self.budget} is for all; {remedy}")
            case Count(int() as units) if units < self.rounds:
                raise SettingsError(f"count is {units} in {self.rounds} rounds; each needs at least one unit.")

    def _check_layers(self) -> None:
        name = self.method.name
        if self.become is not None and self.become not in FORMS:
            raise UnknownNameError("form that a layer can become", self.become, FORMS)
        if self.method.granularity != "layer":
            if self.become is not None:
                raise SettingsError(f"become is {self.become!r}, but {name} removes units; leave it out.")
            if self.to_the_end:
                raise SettingsError(f"to_the_end is for methods of layers, but {name} removes units; leave it out.")
        elif self.become == "mask":
            self._check_masks()
        elif self.compensate not in ("none", "reconstruct"):
            raise SettingsError(f"{name} removes layers: compensate is {self.compensate!r}; give reconstruct or none.")
        elif self.one_by_one or self.multiple_of > 1:
            raise SettingsError(f"{name} removes layers: one_by_one and multiple_of are for units; leave them out.")

    def _check_masks(self) -> None:
        name = self.method.name
        if not isinstance(self.method, Masking):
            raise SettingsError(f"become is 'mask', but {name} measures no unit alone; use nepenthe.")
        if not isinstance(self.budget, Share) or self.to_the_end:
            what = "to_the_end" if self.to_the_end else self.budget
            raise SettingsError(f"{name}: {what} is for layers that go; masks take a share of the weights.")

    @property
    def form(self) -> Form:
        """What layers that go turn into."""
        return self.become or usual_form(self.method.name)

    @property
    def zeta(self) -> float:
        """The share of the weights left that each round of masks makes zero."""
        assert isinstance(self.budget, Share)  # of masks
        return 1.0 - (1.0 - self.budget.ratio) ** (1.0 / self.rounds)

    def part(self, number: int, widths: Mapping[str, tuple[int, int, int]] | None = None) -> Budget:
        """The budget of round `number` (from 0), for the network that the round before has left.

        `widths` are every site's units as the stage began and now, and its blocks: with them, what rounding took too
        much or too little in earlier rounds is made good, so that all rounds together remove the share to the unit.
        """
        n = self.rounds
        match self.budget:
            case _ if n == 1:
                return self.budget
            case Share(ratio, "site") if widths is not None:
                share = 1.0 - (1.0 - ratio) ** ((number + 1) / n)
                return Count({site: _due(share, *width) for site, width in widths.items()})
            case Share(ratio, of):
                return Share(1.0 - (1.0 - ratio) ** (1.0 / n), of)
            case Params(float() as limit) | Macs(float() as limit) | Latency(limit, "x"):
                return replace(self.budget, limit=limit ** (1.0 / n))
            case Count(int() as units):
                return Count(_part(units, number, n))
            case Count(Mapping() as units):
                return Count({site: _part(count, number, n) for site, count in units.items()})
        return self.budget


def _part(units: int, number: int, rounds: int) -> int:
    """What falls to one round, the first rounds taking one more where it does not come out even."""
    return units // rounds + (number < units % rounds)


def _due(share: float, before: int, now: int, blocks: int) -> int:
    """How many units still have to go until a share of those before is gone, of every block as many; one stays."""
    before, now = before // blocks, now // blocks
    return blocks * min(max(nearest(share * before) - (before - now), 0), now - 1)


@dataclass(frozen=True)
class Recipe:
    """Stages one after the other; `max_drop` is how many points of validation quality may be lost in all.

    The loop keeps the last network that holds it. `from_scratch` trains the final shape anew from random weights, as a
    control.
    """

    stages: tuple[Stage, ...] = (Stage(),)
    max_drop: float | None = None
    from_scratch: Recovery | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise SettingsError("the recipe has no stage; give at least one.")
        if self.max_drop is not None and not self.max_drop == self.max_drop:
            raise SettingsError("max_drop is NaN; give points of validation quality, such as 1.0.")


def read(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        FileError: the file cannot be read, or is not TOML.
        SettingsError: it holds an unknown or impossible setting.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}; give the path of a recipe.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: this is not TOML: {error}; see `secateur compress --help` for an example.") from error
    try:
        return from_dict(data)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def from_dict(data: Mapping[str, Any], own: Sequence[Method] = ()) -> Recipe:
    """The recipe in a mapping of the shape that `to_dict` gives and TOML files have; `own` are known by name as well.

    Raises:
        SettingsError: it holds an unknown or impossible setting.
    """
    try:
        return _recipe(data, own)
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"the recipe has a setting of the wrong type: {error}.") from error


def _recipe(data: Mapping[str, Any], own: Sequence[Method]) -> Recipe:
    check_keys("recipe", data, ("stage", "max_drop", "from_scratch"))
    given = data.get("stage", {})
    stages = tuple(_stage(stage, own) for stage in (given if isinstance(given, list | tuple) else [given]))
    control = data.get("from_scratch")
    drop = data.get("max_drop")
    return Recipe(stages, None if drop is None else float(drop), None if control is None else recovery_of(control))


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data that `from_dict` reads; what is None is left out."""
    data: dict[str, Any] = {"stage": [_stage_data(stage) for stage in recipe.stages]}
    if recipe.max_drop is not None:
        data["max_drop"] = recipe.max_drop
    if recipe.from_scratch is not None:
        data["from_scratch"] = recovery_data(recipe.from_scratch)
    return data


def _stage(data: Mapping[str, Any], own: Sequence[Method]) -> Stage:
    known = (*BUDGETS, "of", "relative", "method", "settings", "rounds", "compensate", "recover", "distil", "protect")
    more = ("one_by_one", "multiple_of", "become", "fold", "to_the_end", "stability", "batch_size", "threads")
    check_keys("stage", data, (*known, *more))
    rounds, recover, protect = data.get("rounds", 1), data.get("recover", {}), data.get("protect", ())
    if not isinstance(rounds, int):
        raise SettingsError(f"rounds is {rounds!r}; give a whole number from 1 up.")
    for name in ("fold", "distil", "one_by_one", "to_the_end", "stability"):
        if not isinstance(data.get(name, False), bool):
            raise SettingsError(f"{name} is {data[name]!r}; give true or false.")
    if isinstance(protect, str):
        raise SettingsError(f"protect is {protect!r}; give a list of patterns.")
    return Stage(
        method=_method(data.get("method", "dense"), data.get("settings", {}), own),
        budget=budget_of(data) or Share(0.5),
        rounds=rounds,
        compensate=data.get("compensate", "reconstruct"),
        recovery=None if recover is False or recover == 0 else recovery_of(recover),
        distil=data.get("distil", True),
        protect=tuple(protect),
        one_by_one=data.get("one_by_one", False),
        multiple_of=data.get("multiple_of", 1),
        become=data.get("become"),
        fold=data.get("fold", True),
        to_the_end=data.get("to_the_end", False),
        stability=data.get("stability", False),
    )


def _method(name: str, settings: Mapping[str, Any], own: Sequence[Method]) -> Method:
    given = next((method for method in own if method.name == name), None)
    return methods.get(name, **settings) if given is None else replace(given, **settings)  # type: ignore[type-var]


def _stage_data(stage: Stage) -> dict[str, Any]:
    data: dict[str, Any] = {"method": methods.address(stage.method)}
    settings = {f.name: getattr(stage.method, f.name) for f in fields(stage.method)}  # type: ignore[arg-type]
    if settings:
        data["settings"] = settings
    data |= settings_of(stage.budget)
    data |= {"rounds": stage.rounds, "compensate": stage.compensate, "distil": stage.distil}
    data |= {"protect": list(stage.protect), "one_by_one": stage.one_by_one, "multiple_of": stage.multiple_of}
    if stage.method.granularity == "layer":
        data |= {"become": stage.form, "fold": stage.fold, "to_the_end": stage.to_the_end}
    data["stability"] = stage.stability
    data["recover"] = recovery_data(stage.recovery) if stage.recovery else False
    return data
