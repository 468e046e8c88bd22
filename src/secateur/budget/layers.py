"""From scores of activations to the layers that go."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from math import isfinite
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
    `drop` only those that put out what they take in. `Share` and `Count` count activations or stretches; `Macs` is for
    stretches. `protect` holds patterns of names. What has no finite score stays.

    Raises:
        BudgetError: the budget cannot be met, or is for units.
        UnknownNameError: a pattern fits nothing.
    """
    if become not in BECOMES:
        raise UnknownNameError("form that a layer can become", become, BECOMES)
    found = _candidates(scores, sites, become, at_any_cost=at_any_cost)
    for pattern in protect:
        if not any(fnmatch(choice.name, pattern) for choice in found):
            raise UnknownNameError("layer to protect", pattern, [choice.name for choice in found])
        found = [choice for choice in found if not fnmatch(choice.name, pattern)]
    order = _apart(sorted((choice for choice in found if isfinite(choice.score)), key=lambda choice: choice.score))
    ranked = [Choice(c.name, c.activations, c.score, rank, c.stretch) for rank, c in enumerate(order)]
    if not ranked:
        raise BudgetError(f"{become}: none of {len(sites.activations)} activations can go so; {_instead(become)}")
    return tuple(ranked[: _number(ranked, budget, sites)])


def _candidates(scores: Scores, sites: Sites, become: Become, *, at_any_cost: bool) -> list[Choice]:
    """What can go, in the order of the data."""
    values = {name: float(value.max()) for name, value in scores.values.items()}
    if become not in ("collapse", "drop"):
        return [Choice(each.name, (each.name,), values[each.name], -1) for each in sites.activations]
    can_go: Callable[[Stretch], bool] = _can_be_dropped
    if become == "collapse":
        can_go = lambda stretch: at_any_cost or stretch.macs_after < stretch.macs  # noqa: E731
    return [
        Choice(each.name, each.activations, max(values[name] for name in each.activations), -1, each)
        for each in sites.stretches
        if can_go(each)
    ]


def _can_be_dropped(stretch: Stretch) -> bool:
    is_branch = not stretch.then and stretch.inputs == stretch.outputs and all(step == 1 for step in stretch.stride)
    return stretch.has_path or is_branch


def _apart(order: Sequence[Choice]) -> list[Choice]:
    """The choices without those that share a module with one before."""
    taken: set[str] = set()
    kept = []
    for choice in order:
        modules = set(choice.stretch.modules) if choice.stretch else set()
        if not modules & taken:
            kept.append(choice)
            taken |= modules
    return kept


def _number(ranked: Sequence[Choice], budget: Budget, sites: Sites) -> int:
    """How many of the lowest go."""
    match budget:
        case Share(ratio):
            return nearest(ratio * len(ranked))
        case Count(int() as asked):
            if asked > len(ranked):
                raise BudgetError(f"{asked} layers are to go, but {len(ranked)} can; give {len(ranked)} or fewer.")
            return asked
        case Count(Mapping()):
            raise BudgetError("a count for each site is for methods of units; give one number of layers.")
        case Below(threshold, relative):
            limit = threshold * max(choice.score for choice in ranked) if relative else threshold
            return sum(choice.score <= limit for choice in ranked)
        case Macs(limit):
            return _enough(ranked, limit, sites)
    raise BudgetError(f"{type(budget).__name__}: is for methods of units; give a share or a number of layers, or macs.")


def _enough(ranked: Sequence[Choice], limit: float | int, sites: Sites) -> int:
    """How many of the lowest have to go until no more multiply-adds are left than allowed."""
    allowed = limit * sites.macs if isinstance(limit, float) else limit
    left = float(sites.macs)
    for number, choice in enumerate(ranked):
        if left <= allowed:
            return number
        left -= choice.stretch.macs - choice.stretch.macs_after if choice.stretch else 0
    if left > allowed:
        raise BudgetError(
            f"Macs: {int(allowed):,} of {sites.macs:,} multiply-adds cannot be reached; {int(left):,} are left when "
            f"all {len(ranked)} stretches have gone; allow that many."
        )
    return len(ranked)


def _instead(become: Become) -> str:
    match become:
        case "collapse":
            return "no stretch of layers becomes cheaper as one operator. Use affine, or collapse at any cost."
        case "drop":
            return "no stretch puts out what it takes in. Use collapse or affine."
    return "their scores are not finite; look at the data, or use another method."
