"""Every place in a model where units can be removed, tried on the model itself.

The rules say what belongs together; whether the model's own forward follows a cut (or counts in numbers of its own)
is seen by cutting a copy and comparing. Sites that do not follow are pinned, with what went wrong.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from secateur import width
from secateur.budget import plan_of
from secateur.errors import ExactnessError
from secateur.graph import Traced
from secateur.sites import Pinned, Site, Sites
from secateur.surgery import compared
from secateur.task import Arguments, Task
from secateur.tracing import Example, arguments_of_example, nothing_left, sites_in, trace_on

SHARE = 4  # one of so many units of each block goes in the trial
TOLERANCE = 1e-2  # a forward that counts in other numbers is off by more; certificates are the exact proof
_LAYERS = re.compile(r"\d+")

Trial = Callable[[Sequence[Site]], str]


def find_sites(model: nn.Module, example: Example, *, whole_heads: bool = False) -> Sites:
    """Every place in the model where units can be removed, what is pinned and by which operator, and what it costs.

    The units of an attention are the inner dimensions of its heads, of which every head must lose as many; with
    `whole_heads`, and where the scale follows from a head's size, they are heads. A copy of the model is cut once to
    see that its forward follows; sites that it does not follow are pinned.

    Raises:
        ModelError: the model cannot be traced, or nothing at all can be removed; the message lists why.
    """
    arguments = example.example() if isinstance(example, Task) else arguments_of_example(example)
    traced = trace_on(model, arguments)
    sites = sites_in(traced, whole_heads=whole_heads)
    reasons = _refused(sites.sites, _trial(traced, sites, arguments))
    if not reasons:
        return sites
    pinned = tuple(Pinned(name, sites[name].units, "forward", reason) for name, reason in reasons.items())
    left = tuple(site for site in sites if site.name not in reasons)
    if not left:
        raise nothing_left(model, (*pinned, *sites.pinned))
    return replace(sites, sites=left, pinned=(*sites.pinned, *pinned))


def _trial(traced: Traced, sites: Sites, arguments: Arguments) -> Trial:
    """A function that cuts some sites of a copy and says what went wrong; nothing, if they follow."""
    generator = torch.Generator().manual_seed(0)
    chosen = {site.name: _some(site, generator) for site in sites}

    def trial(some: Sequence[Site]) -> str:
        plan = plan_of(sites, {site.name: chosen[site.name] for site in some})
        small = width.copied(traced.model)
        try:
            width.cut_(small, plan)
            found = compared(small, traced, sites, plan, arguments)
        except ExactnessError as error:
            return str(error)
        if found.relative_difference <= max(TOLERANCE, found.tolerance):
            return ""
        return f"cut, it differs from the silenced original by {found.relative_difference:.1e} of the largest output"

    return trial


def _some(site: Site, generator: torch.Generator) -> tuple[int, ...]:
    """A quarter of a site's units, from every block as many but not the same."""
    length = site.units // site.blocks
    count = min(max(length // SHARE, 1), length - 1)
    orders = [torch.randperm(length, generator=generator)[:count] + block * length for block in range(site.blocks)]
    return tuple(sorted(torch.cat(orders).tolist()))


def _refused(sites: Sequence[Site], trial: Trial) -> dict[str, str]:
    """The sites that the model's forward does not follow, with what went wrong."""
    if not trial(sites):
        return {}
    kinds: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        kinds[_LAYERS.sub("#", site.name)].append(site)
    refused: dict[str, str] = {}
    for alike in kinds.values():
        refused |= _refused_among(alike, trial)
    rest = [site for site in sites if site.name not in refused]
    reason = trial(rest) if rest else ""
    return refused if not reason else refused | dict.fromkeys((site.name for site in rest), reason)


def _refused_among(sites: Sequence[Site], trial: Trial) -> dict[str, str]:
    """The refused ones among the same site of several layers: all, if the first and the last are, else by halves."""
    reason = trial(sites)
    if not reason:
        return {}
    ends = [trial([site]) for site in (sites[0], sites[-1])]
    if len(sites) <= 2 or all(ends):
        wrong = [(site.name, why) for site, why in zip((sites[0], sites[-1]), ends, strict=True) if why]
        return dict.fromkeys((site.name for site in sites), reason) if all(ends) else dict(wrong)
    half = len(sites) // 2
    return _refused_among(sites[:half], trial) | _refused_among(sites[half:], trial)
