"""How much of a score is signal: two halves of the calibration data, scored apart, and what they agree on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from secateur.calibration import Watch
from secateur.errors import DataError, SettingsError
from secateur.methods import score
from secateur.plan import Edit, Plan
from secateur.result import Agreement, Halves
from secateur.scores import Method, Scores
from secateur.sites import Sites
from secateur.task import Batch, Task


def stability(
    model: nn.Module, sites: Sites, task: Task, method: Method | str, *, share: float = 0.5, watch: Watch = None
) -> dict[str, Agreement]:
    """For every site, whether a method scores alike on every other batch of the calibration data and on the rest.

    `share` of each site's units would go. All of the data scores a little more steadily than its halves do. Together it
    costs one pass over the data. Methods that look at no data agree with themselves.

    Raises:
        DataError: there are fewer than two batches.
        SettingsError: `share` is not above 0 and below 1.
    """
    if not 0.0 < share < 1.0:
        raise SettingsError(f"share is {share}; give the share to remove, above 0 and below 1.")
    return agreements(*_scored(model, sites, task, method, watch), share)


def of_plan(
    model: nn.Module, sites: Sites, task: Task, method: Method, plan: Plan, *, watch: Watch = None
) -> tuple[Halves, ...]:
    """For every site that loses units, what two halves of the data agree on when as many go; see `stability`.

    Raises:
        DataError: there are fewer than two batches.
    """
    first, second = _scored(model, sites, task, method, watch)
    return tuple(
        _halves(edit, first.values[edit.site], second.values[edit.site]) for edit in plan.edits if edit.removed
    )


def agreements(first: Scores, second: Scores, share: float) -> dict[str, Agreement]:
    """For every site, what two scores of the same units agree on."""
    return {name: _agreement(values, second.values[name], share) for name, values in first.values.items()}


def mean(found: Mapping[str, Agreement]) -> Agreement:
    """The mean over sites; of correlations, over those that have one."""
    known = [each.correlation for each in found.values() if each.correlation is not None]
    return Agreement(
        float(np.mean(known)) if known else None,
        float(np.mean([each.overlap for each in found.values()])),
        float(np.mean([each.chance for each in found.values()])),
    )


def _scored(model: nn.Module, sites: Sites, task: Task, method: Method | str, watch: Watch) -> tuple[Scores, Scores]:
    """The scores from every other batch, and from the rest."""
    if sum(1 for _ in islice(task.batches("calibration"), 2)) < 2:
        raise DataError("the calibration data is one batch, and cannot be halved; make its batches smaller.")
    first, second = (score(model, sites, _half(task, start), method, watch=watch) for start in (0, 1))
    return first, second


def _halves(edit: Edit, one: Float[Tensor, " units"], other: Float[Tensor, " units"]) -> Halves:
    found = _agreement(one, other, len(edit.removed) / edit.units)
    spread = len(edit.removed) / edit.units / max(edit.units - 1, 1) ** 0.5  # of two random choices: hypergeometric
    is_noise = found.overlap <= found.chance + 2.0 * spread
    return Halves(edit.site, found.correlation, found.overlap, found.chance, is_noise)


def _agreement(one: Float[Tensor, " units"], other: Float[Tensor, " units"], share: float) -> Agreement:
    ranks = np.stack([_ranks(values) for values in (one, other)])
    varied = bool((ranks.std(1) > 0).all())
    count = min(max(round((1.0 - share) * len(one)), 1), len(one))
    kept = [set(np.argsort(-rank, kind="stable")[:count].tolist()) for rank in ranks]
    return Agreement(
        float(np.corrcoef(ranks)[0, 1]) if varied else None, len(kept[0] & kept[1]) / count, count / len(one)
    )


def _ranks(values: Float[Tensor, " units"]) -> Float64[np.ndarray, " units"]:
    """The place of every value from the lowest up; equal ones share the mean of theirs."""
    _, place, counts = np.unique(values.detach().cpu().numpy(), return_inverse=True, return_counts=True)
    ranks: Float64[np.ndarray, " units"] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


@dataclass(frozen=True)
class _EveryOther:
    """Every other batch of a task's calibration data, as often as it is asked for."""

    task: Task
    start: int

    def __iter__(self) -> Iterator[Batch]:
        return islice(self.task.batches("calibration"), self.start, None, 2)


def _half(task: Task, start: int) -> Task:
    return replace(task, calibration=_EveryOther(task, start))
