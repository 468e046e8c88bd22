"""Every place in a model where units can be removed, tried on the model itself.

The rules say what belongs together; whether the model's own forward follows a cut (or counts in numbers of its own)
is seen by cutting a copy and comparing. Sites that do not follow are pinned, with what went wrong.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from secateur import width
from secateur.budget import plan_of
from secateur.errors import ExactnessError, PlanError
from secateur.plan import Plan
from secateur.sites import Pinned, Site, Sites
from secateur.soundness import check_model
from secateur.surgery import Original, original_of, proven
from secateur.task import Task
from secateur.tracing import Example, arguments_of_example, grouped, nothing_left, trace_on

_LAYERS = re.compile(r"\d+")

Family = tuple[Site, ...]  # a site and its twins
Trial = Callable[[Sequence[Family]], str]
Test = tuple[Trial, Sequence[Family]]


def find_sites(model: nn.Module, example: Example, *, whole_heads: bool = False) -> Sites:
    """Every place in the model where units can be removed, what is pinned and by which operator, and what it costs.

    The units of an attention are the inner dimensions of its heads, of which every head must lose as many; with
    `whole_heads`, and where the scale follows from a head's size, they are heads. A copy of the model with random
    weights is cut once to see that its forward follows; sites that it does not follow are pinned.

    Raises:
        ModelError: the model cannot be traced, or nothing at all can be removed; the message lists why.
    """
    check_model(model)
    arguments = example.example() if isinstance(example, Task) else arguments_of_example(example)
    traced = trace_on(_stirred(model), arguments)
    found = grouped(traced, whole_heads=whole_heads)
    original, verdicts = original_of(traced, arguments), dict[Plan, str]()
    refused: list[tuple[Sites, list[Test]]] = []
    for any_name in (False, True):  # perhaps a size goes by a name of the user's own
        sites = found(any_name=any_name)
        if any(sites == before for before, _ in refused):
            continue
        tests = _tests(original, sites, verdicts)
        if _are_followed(tests):
            return sites
        refused.append((sites, tests))
    sites, reasons = min(((each, _unfollowed(tests)) for each, tests in refused), key=lambda pair: len(pair[1]))
    pinned = tuple(Pinned(name, sites[name].units, "forward", reason) for name, reason in reasons.items())
    left = tuple(site for site in sites if site.name not in reasons)
    if not left:
        raise nothing_left(model, (*pinned, *sites.pinned))
    return replace(sites, sites=left, pinned=(*sites.pinned, *pinned))


@torch.no_grad()
def _stirred(model: nn.Module) -> nn.Module:
    """A copy with random weights: what is zero or nearly constant in a network, trained or not, hides mistakes."""
    stirred = width.copied(model, _blank)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in width.tensors_of(stirred).items():
        last = name.rpartition(".")[2]
        if not _is_stirred(tensor):
            continue
        values = tensor if tensor.is_cpu else torch.empty_like(tensor, device="cpu")  # the same on any device
        if isinstance(tensor, nn.Parameter) and tensor.dim() > 1:
            fan_in = tensor.numel() / max(len(tensor), 1)
            values.normal_(0.0, max(fan_in, 1) ** -0.5, generator=generator)
        elif isinstance(tensor, nn.Parameter) or last in ("running_mean", "running_var"):
            low = -0.5 if last in ("bias", "running_mean") else 0.5
            values.uniform_(low, low + 1.0, generator=generator)
        else:
            continue  # a table that forward relies on
        if values is not tensor:
            tensor.copy_(values)
    return stirred


def _is_stirred(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 0


def _blank(parameter: nn.Parameter) -> nn.Parameter:
    """A parameter without values yet, where it is to get others."""
    values = parameter.detach()
    values = torch.empty_like(values) if _is_stirred(values) else values.clone()
    return nn.Parameter(values, requires_grad=parameter.requires_grad)


def _families(sites: Sites) -> list[Family]:
    """The sites, each with its twins, once."""
    found: list[Family] = []
    taken: set[str] = set()
    for site in sites:
        if site.name not in taken:
            found.append((site, *(sites[twin] for twin in site.twins)))
            taken |= {member.name for member in found[-1]}
    return found


def _losses(families: Sequence[Family], before: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many steps each site loses in a trial, by the name of its family's first.

    Each another share, as far as there are any, so that a size taken from another does not fit; those with the fewest
    shares to choose from choose first. `before` is what each lost in an earlier trial: now another number, if it can,
    and another share than those that lost the same share then.
    """
    losses: dict[str, int] = {}
    alike: Counter[int] = Counter()
    shares: set[Fraction] = set()
    own: dict[Fraction | None, set[Fraction]] = defaultdict(set)  # of those that lost the same share before
    for first, *_ in sorted(families, key=lambda family: family[0].steps):
        lost = before[first.name] if before else None
        taken = (shares, own[Fraction(lost, first.steps) if lost else None])
        losses[first.name] = _count(first.steps, alike[first.steps], taken, lost)
        for each in taken:
            each.add(Fraction(losses[first.name], first.steps))
        alike[first.steps] += 1
    return losses


def _parts(families: Sequence[Family], trials: Sequence[Mapping[str, int]]) -> list[list[Family]]:
    """Some of the sites at a time, so that of any two which lose the same share in every trial one part cuts one."""
    alike: dict[tuple[Fraction, ...], list[Family]] = defaultdict(list)
    for family in families:
        first = family[0]
        alike[tuple(Fraction(losses[first.name], first.steps) for losses in trials)].append(family)
    bits = (max((len(same) for same in alike.values()), default=1) - 1).bit_length()
    return [[family for same in alike.values() for n, family in enumerate(same) if n >> b & 1] for b in range(bits)]


def _trial(original: Original, sites: Sites, losses: Mapping[str, int], verdicts: dict[Plan, str]) -> Trial:
    """A function that cuts some sites of a copy and says what went wrong; nothing, if they follow.

    `verdicts` are those on plans that were tried already; new ones are added.
    """
    generator = torch.Generator().manual_seed(0)
    chosen: dict[str, tuple[int, ...]] = {}
    for family in _families(sites):
        chosen |= {site.name: _some(site, losses[family[0].name], generator) for site in family}

    def trial(some: Sequence[Family]) -> str:
        try:
            plan = plan_of(sites, {site.name: chosen[site.name] for family in some for site in family})
        except PlanError as error:
            return str(error)
        if plan not in verdicts:
            verdicts[plan] = _verdict(original, sites, plan)
        return verdicts[plan]

    return trial


def _verdict(original: Original, sites: Sites, plan: Plan) -> str:
    """What goes wrong when a plan is applied to a copy; nothing, if that computes what it should."""
    try:
        small = _cut(original, plan)
        found = proven(small, original, sites, plan, lambda: _cut(original.in_double, plan))
    except (ExactnessError, PlanError) as error:
        return str(error)
    if found.relative_difference <= found.tolerance:
        return ""
    return f"cut, it differs from the silenced original by {found.relative_difference:.1e} of the largest output"


def _cut(original: Original, plan: Plan) -> nn.Module:
    """A copy, cut; it shares with the original what is not cut."""
    small = width.sharing(original.traced.model)
    width.cut_(small, plan)
    return small


def _count(steps: int, number: int, taken: Sequence[Set[Fraction]], unlike: int | None) -> int:
    """How many steps a site loses: another share than others do, so that a size taken from another does not fit.

    Not one that is taken in the first of some sets, or else in the next.
    """
    counts = [min(1 + (steps // 4 + number + more) % max(steps - 1, 1), steps - 1) for more in range(max(steps - 1, 1))]
    counts = [count for count in counts if count != unlike] or counts
    free = (count for shares in taken for count in counts if Fraction(count, steps) not in shares)
    return next(free, counts[0])


def _some(site: Site, count: int, generator: torch.Generator) -> tuple[int, ...]:
    """So many units of every block of a site, not the same ones of each."""
    orders = [torch.randperm(site.steps, generator=generator)[:count] + b * site.steps for b in range(site.blocks)]
    return tuple(sorted(torch.cat(orders).tolist()))


def _tests(original: Original, sites: Sites, verdicts: dict[Plan, str]) -> list[Test]:
    """What sites must pass: all of them cut at once, twice, and parts of them."""
    families = _families(sites)
    losses = _losses(families)
    others = _losses(families, losses)  # what fits once by chance does not fit twice
    trial, again = (_trial(original, sites, each, verdicts) for each in (losses, others))
    return [(trial, families), (again, families), *((trial, part) for part in _parts(families, (losses, others)))]


def _are_followed(tests: Sequence[Test]) -> bool:
    """Whether the model's forward follows all sites."""
    return not any(wrong(some) for wrong, some in tests)


def _unfollowed(tests: Sequence[Test]) -> dict[str, str]:
    """The sites that the model's forward does not follow, with what went wrong; there are some."""
    trial, families = tests[0]
    refused = _refused(families, trial)
    for wrong, some in tests:
        rest = [family for family in some if family[0].name not in refused]
        reason = wrong(rest) if rest else ""
        refused |= _named(rest, reason) if reason else {}
    return refused


def _refused(families: Sequence[Family], trial: Trial) -> dict[str, str]:
    """The sites that do not follow, where some do not: looked for by kind."""
    kinds: dict[str, list[Family]] = defaultdict(list)
    for family in families:
        kinds[_LAYERS.sub("#", family[0].name)].append(family)
    refused: dict[str, str] = {}
    for alike in kinds.values():
        refused |= _refused_among(alike, trial)
    return refused


def _refused_among(families: Sequence[Family], trial: Trial) -> dict[str, str]:
    """The refused ones among the same site of several layers: all, if the first and the last are, else by halves."""
    reason = trial(families)
    if not reason:
        return {}
    ends = [(family, trial([family])) for family in dict.fromkeys((families[0], families[-1]))]
    if all(why for _, why in ends):
        return _named(families, reason)
    if len(families) <= len(ends):
        wrong = [_named([family], why) for family, why in ends if why] or [_named(families, reason)]
        return {name: why for named in wrong for name, why in named.items()}
    half = len(families) // 2
    return _refused_among(families[:half], trial) | _refused_among(families[half:], trial)


def _named(families: Sequence[Family], reason: str) -> dict[str, str]:
    return dict.fromkeys((site.name for family in families for site in family), reason)
