"""From scores of activations to the layers that go."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import accumulate
from math import isfinite, isnan
from typing import Literal, get_args

from secateur.budget.amounts import Below, Budget, Count, Macs, Share
from secateur.budget.ranking import nearest
from secateur.errors import BudgetError, UnknownNameError
from secateur.scores import Scores
from secateur.sites import Sites, Stretch

Become = Literal["affine", "identity", "on_off", "collapse", "drop"]
BECOMES: tuple[Become, ...] = get_args(Become)


@dataclass(frozen=True)
class Choice:
    """An activation, or a stretch with all activations in it, with its score and rank (0 = lowest)."""

    name: str
    activations: tuple[str, ...]
    score: float
    rank: int
    stretch: Stretch | None = None


def select_layers(
    scores: Scores,
    sites: Sites,
    budget: Budget,
    *,
    become: Become = "affine",
    protect: Iterable[str] = (),
    at_any_cost: bool = False,
) -> tuple[Choice, ...]:
    """The layers that meet a budget by taking the lowest scores; ties go by position.

    With `collapse` and `drop` whole stretches go, each with the highest score of its activations, those with `affine`,
    `identity` and `on_off` one by one. `collapse` takes only stretches that become cheaper, unless `at_any_cost`;
    `drop` only those with a path around, inside or beside them. `Share` and `Count` count activations or stretches,
    without those protected; `Macs` is for stretches. `protect` holds patterns of names, of activations, stretches or
    modules: all inside stays. So does what has an infinite score.

    Raises:
        BudgetError: the budget cannot be met, or is for units; or the scores do not fit the sites.
        UnknownNameError: a pattern fits nothing.
    """
    if become not in BECOMES:
        raise UnknownNameError("form that a layer can become", become, BECOMES)
    values = _values(scores, sites)
    protected = protected_layers(sites, protect)
    found = _candidates(values, sites, become, at_any_cost=at_any_cost)
    if not found:
        raise BudgetError(f"{become}: none of {len(sites.activations)} activations can go so; {_instead(become)}")
    free = [choice for choice in found if isfinite(choice.score) and protected.isdisjoint(choice.activations)]
    order = _apart(sorted(free, key=lambda choice: choice.score))
    ranked = [replace(choice, rank=rank) for rank, choice in enumerate(order)]
    return tuple(ranked[: _number(ranked, budget, sites, become)])


def _values(scores: Scores, sites: Sites) -> dict[str, float]:
    """The score of every activation."""
    for activation in sites.activations:
        found = scores.values.get(activation.name)
        if found is None or len(found) != 1:
            has = "no score" if found is None else f"{len(found)} scores"
            raise BudgetError(f"{activation.name}: {has} of {scores.method}; score the layers of this model.")
        if isnan(found):
            raise BudgetError(
                f"{activation.name}: its score of {scores.method} is NaN; look at the data, or use another method."
            )
    return {activation.name: float(scores.values[activation.name]) for activation in sites.activations}


def protected_layers(sites: Sites, patterns: Iterable[str]) -> set[str]:
    """The activations that stay: those that match a pattern, or are in a stretch or module that does.

    Raises:
        UnknownNameError: a pattern fits nothing.
    """
    names = {each.name: {each.name, *_around(each.name)} for each in sites.activations}
    for stretch in sites.stretches:
        for name in stretch.activations:
            names[name] |= {stretch.name, *stretch.modules}
    protected: set[str] = set()
    for pattern in patterns:
        found = {name for name, known in names.items() if any(fnmatch(one, pattern) for one in known)}
        if not found:
            raise UnknownNameError("layer to protect", pattern, sorted(set().union(*names.values())))
        protected |= found
    return protected


def _around(name: str) -> Iterator[str]:
    """The paths of the modules around one of a name."""
    while name := name.rpartition(".")[0]:
        yield name


def _candidates(values: Mapping[str, float], sites: Sites, become: Become, *, at_any_cost: bool) -> list[Choice]:
    """What can go, in the order of the data."""
    if become not in ("collapse", "drop"):
        return [Choice(each.name, (each.name,), values[each.name], -1) for each in sites.activations]
    return [
        Choice(each.name, each.activations, max(values[name] for name in each.activations), -1, each)
        for each in sites.stretches
        if (each.has_path or each.is_branch if become == "drop" else at_any_cost or each.macs_after < each.macs)
    ]


def _apart(order: Sequence[Choice]) -> list[Choice]:
    """The choices without those that share a module with one before, or are inside one, or around one."""
    taken: set[str] = set()
    kept = []
    for choice in order:
        modules = set(choice.stretch.modules) if choice.stretch else set()
        around = {path for module in modules for path in _around(module)}
        is_around = any(not modules.isdisjoint(_around(path)) for path in taken)
        if taken.isdisjoint(modules | around) and not is_around:
            kept.append(choice)
            taken |= modules
    return kept


def _number(ranked: Sequence[Choice], budget: Budget, sites: Sites, become: Become) -> int:
    """How many of the lowest go."""
    match budget:
        case Share(ratio):
            return nearest(ratio * len(ranked))
        case Count(int() as asked):
            if asked > len(ranked):
                remedy = f"give {len(ranked)} or fewer" if ranked else "protect fewer"
                raise BudgetError(f"{asked} layers are to go, but {len(ranked)} can; {remedy}.")
            return asked
        case Count(Mapping()):
            raise BudgetError("a count for each site is for methods of units; give one number of layers.")
        case Below(threshold, relative):
            limit = threshold * max((choice.score for choice in ranked), default=0.0) if relative else threshold
            return sum(choice.score <= limit for choice in ranked)
        case Macs(limit):
            return _enough(ranked, limit, sites, become)
    raise BudgetError(f"{type(budget).__name__}: is for methods of units; give a share or a number of layers, or macs.")


def _enough(ranked: Sequence[Choice], limit: float | int, sites: Sites, become: Become) -> int:
    """How many of the lowest have to go until no more multiply-adds are left than allowed."""
    stretches = [choice.stretch for choice in ranked if choice.stretch]
    if become not in ("collapse", "drop"):
        raise BudgetError(
            f"Macs: an activation made linear ({become}) saves none itself; use collapse, drop or a share."
        )
    after = [0 if become == "drop" else stretch.macs_after for stretch in stretches]
    saved = [0, *accumulate(one.macs - rest for one, rest in zip(stretches, after, strict=True))]
    allowed = limit * sites.macs if isinstance(limit, float) else limit
    for number, less in enumerate(saved):
        if sites.macs - less <= allowed:
            return number
    raise BudgetError(
        f"Macs: {int(allowed):,} of {sites.macs:,} multiply-adds cannot be reached; {sites.macs - saved[-1]:,} are "
        f"left when all {len(ranked)} stretches that can have gone; allow that many."
    )


def _instead(become: Become) -> str:
    match become:
        case "collapse":
            return "no stretch of layers becomes cheaper as one operator. Use affine, or collapse at any cost."
        case "drop":
            return "no stretch of layers has a path around it. Use collapse or affine."
    return "there are none."
