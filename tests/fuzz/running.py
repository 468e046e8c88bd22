"""Many seeds, on several processors; and what a seed that fails says."""

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import torch

from fuzz.checks import ROWS, Outcome, Removed, checked, cut_generator, found_sites
from fuzz.counting import MismatchError
from fuzz.cuts import drawn_units
from fuzz.networks import Recipe, drawn, inputs, network_of
from secateur.errors import CompressionError

# All that secateur, torch or a network can raise: each is a finding, and none may end the run.
FAILURES = (
    ArithmeticError,
    AttributeError,
    CompressionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
)

CUTS_TRIED = 4  # a shorter network has other sites: other cuts may be needed to see the same failure


@dataclass(frozen=True)
class Failure:
    """A network for which something does not hold: what, and on which cut if that is known."""

    recipe: Recipe
    what: str
    removed: Removed | None = None

    @property
    def kind(self) -> str:
        """The first words of what went wrong: two failures of one kind are taken to have one cause."""
        return self.what.partition(":")[0]


def tried(recipe: Recipe, removed: Removed | None = None) -> Outcome | Failure:
    """The outcome of one network, or its failure."""
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return checked(recipe, removed)
    except (MismatchError, AssertionError) as error:
        return Failure(recipe, f"mismatch: {error}", removed)
    except FAILURES as error:
        return Failure(recipe, f"{type(error).__name__}: {error}", removed)


def tried_seed(seed: int) -> Outcome | Failure:
    """The outcome or failure of the network drawn from a seed."""
    return tried(drawn(seed))


def all_tried(seeds: Iterable[int], jobs: int) -> Iterator[Outcome | Failure]:
    """Outcomes and failures, in the order of the seeds."""
    if jobs == 1:
        yield from map(tried_seed, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(tried_seed, seeds, chunksize=4)


def reduced(failure: Failure) -> Failure:
    """A failure of the same kind with fewer blocks, then with fewer sites cut, as far as leaving one out goes."""
    found = failure
    while (shorter := _first_alike(found, _with_fewer_blocks(found.recipe))) is not None:
        found = shorter
    if found.removed is None and (removed := _removed(found.recipe)) is not None:
        found = _first_alike(found, [(found.recipe, removed)]) or found
    while (shorter := _first_alike(found, _with_fewer_sites(found))) is not None:
        found = shorter
    return found


def _first_alike(failure: Failure, candidates: Iterable[tuple[Recipe, Removed | None]]) -> Failure | None:
    """The first candidate that fails as another does."""
    outcomes = (tried(*candidate) for candidate in candidates)
    alike = (again for again in outcomes if isinstance(again, Failure) and again.kind == failure.kind)
    return next(alike, None)


def _with_fewer_blocks(recipe: Recipe) -> Iterator[tuple[Recipe, None]]:
    for place in range(len(recipe.pieces)):
        pieces = recipe.pieces[:place] + recipe.pieces[place + 1 :]
        for cut in range(CUTS_TRIED):
            yield replace(recipe, pieces=pieces, cut=cut), None


def _with_fewer_sites(failure: Failure) -> Iterator[tuple[Recipe, Removed]]:
    removed = failure.removed or {}
    for name in removed if len(removed) > 1 else ():
        yield failure.recipe, {other: units for other, units in removed.items() if other != name}


def _removed(recipe: Recipe) -> Removed | None:
    """What the cut of a recipe removes, where its sites can be found at all."""
    try:
        sites = found_sites(network_of(recipe), inputs(recipe.start, ROWS), whole_heads=recipe.whole_heads)
    except FAILURES:
        return None
    return drawn_units(sites, cut_generator(recipe))
