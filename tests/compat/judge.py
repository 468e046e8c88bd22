"""What the library makes of one architecture: `python -m compat.judge NAME` tells it as JSON."""

import copy
import math
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import secateur as sc
from compat.catalogue import Example, entries
from compat.running import limit_memory, say, timed
from compat.sight import call, open_eyes_
from compat.silence import UnknownNormError, silenced
from secateur.errors import CompressionError, first_line
from secateur.plan import Plan
from secateur.sites import Site, Sites
from secateur.surgery import certified
from secateur.task import tensors_in

SEEDS = (0, 1)
SHARE = 0.25


def main() -> None:
    """Judge one architecture."""
    limit_memory()
    torch.set_num_threads(1)
    record: dict[str, Any] = {"name": sys.argv[1]}
    try:
        _judge(record)
    except (CompressionError, TimeoutError) as error:
        refused = "seconds" not in record and isinstance(error, CompressionError)
        record |= {"status": "refused" if refused else "failed", "error": _one_line(error)}
    say(record)


def _judge(record: dict[str, Any]) -> None:
    entry = entries()[record["name"]]
    torch.manual_seed(0)
    model, example = entry.build().eval(), entry.example()
    open_eyes_(model, example)
    record |= {"kind": entry.kind, "parameters": sum(p.numel() for p in model.parameters()), "status": "started"}
    say(record)
    with timed() as seconds:
        sites = sc.find_sites(model, example)
    record |= {"seconds": seconds.wall, "cpu_seconds": seconds.cpu, "sites": len(sites)}
    record |= {"removable": removable_share(sites), "pinned": pinned_shares(sites)}
    say(record)
    for seed in SEEDS:
        plan = sc.plan_of(sites, random_units(sites, seed))
        small, plan = certified(model, plan, example)
        certificate = plan.certificate
        assert certificate is not None
        record[f"difference_{seed}"] = certificate.relative_difference
        record[f"dtype_{seed}"] = certificate.dtype
        say(record)
    record["effect"] = difference(small, model, example)
    record |= independently(small, model, plan, example)
    say(record)
    record["trains"] = trained(small, example)
    record["status"] = "ok"


def removable_share(sites: Sites) -> float:
    """The share of parameters that lie in a row, column or slice of some unit."""
    covered = _covered(sites)
    sizes = {t.name: math.prod(t.shape) for t in sites.tensors if t.is_parameter}
    return sum(size * covered[name] for name, size in sizes.items()) / max(sum(sizes.values()), 1)


def _covered(sites: Sites) -> dict[str, float]:
    """For every tensor, the share of its entries that some unit owns, one axis independent of the other."""
    entries_of: dict[tuple[str, int], set[int]] = defaultdict(set)
    for site in sites:
        for axis in site.axes:
            entries_of[axis.tensor, axis.axis] |= set(axis.positions)
    left = {tensor.name: 1.0 for tensor in sites.tensors}
    shapes = {tensor.name: tensor.shape for tensor in sites.tensors}
    for (name, axis), found in entries_of.items():
        if name in left:
            left[name] *= 1.0 - len(found) / shapes[name][axis]
    return {name: 1.0 - share for name, share in left.items()}


def pinned_shares(sites: Sites) -> dict[str, float]:
    """For every operator that holds units: the share of all parameters that stay because of it, as far as rows tell."""
    covered = _covered(sites)
    sizes = {t.name: math.prod(t.shape) for t in sites.tensors if t.is_parameter}
    by_tensor: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for pin in sites.pinned:
        name = pin.name if pin.name in sizes else f"{pin.name}.weight"
        by_tensor[name].append((f"{pin.operator}: {pin.reason}", pin.units))
    total = sum(sizes.values())
    shares: dict[str, float] = defaultdict(float)
    for name, pins in by_tensor.items():
        stays = sizes.get(name, 0) * (1.0 - covered.get(name, 0.0))
        for operator, units in pins:
            shares[operator] += stays * units / sum(u for _, u in pins) / total
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def random_units(sites: Sites, seed: int) -> dict[str, tuple[int, ...]]:
    """A quarter of every site, at random, the same number from each of its blocks."""
    generator = torch.Generator().manual_seed(seed)
    return {site.name: _random_of(site, generator) for site in sites if site.steps > 1}


def _random_of(site: Site, generator: torch.Generator) -> tuple[int, ...]:
    count = max(1, int(site.steps * SHARE))
    chosen = [
        block * site.steps + int(unit)
        for block in range(site.blocks)
        for unit in torch.randperm(site.steps, generator=generator)[:count]
    ]
    return tuple(sorted(chosen))


def independently(small: nn.Module, model: nn.Module, plan: Plan, example: Example) -> dict[str, Any]:
    """How far a cut network is from the original whose cut weights are zero, without the library's silencing."""
    try:
        silent = silenced(model, masks_of(model, plan))
    except UnknownNormError as error:
        return {"independent": None, "unchecked": f"norm of class {error}"}
    found = difference(small, silent, example)
    if found > 1e-5:
        found = difference(small.double(), silent.double(), _double(example))
        small.float()
    return {"independent": found}


def masks_of(model: nn.Module, plan: Plan) -> Mapping[str, Tensor]:
    """What a plan cuts, as masks over the parameters."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    masks: dict[str, Tensor] = {}
    for cut in plan.cuts:
        if cut.tensor in tensors:
            mask = masks.setdefault(cut.tensor, torch.zeros(tensors[cut.tensor].shape, dtype=torch.bool))
            mask.index_fill_(cut.axis, torch.tensor(cut.removed), True)
    return masks


@torch.no_grad()
def difference(found: nn.Module, wanted: nn.Module, example: Example) -> float:
    """The largest difference of two networks' outputs, relative to the largest output."""
    pairs = zip(tensors_in(call(found, example)), tensors_in(call(wanted, example)), strict=True)
    worst = [(float((f.double() - w.double()).abs().max()), float(w.double().abs().max())) for f, w in pairs]
    scale = max(size for _, size in worst)
    return max(gap for gap, _ in worst) / (scale or 1.0)


def trained(small: nn.Module, example: Example) -> str:
    """`yes`, or why one step of training fails."""
    small = copy.deepcopy(small).train()
    try:
        outputs = [out for out in tensors_in(call(small, example)) if out.is_floating_point()]
        sum(out.square().mean() for out in outputs).backward()  # type: ignore[union-attr]
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        return _one_line(error)
    return "yes"


def _double(example: Example) -> Example:
    if isinstance(example, Tensor):
        return example.double()
    return {name: t.double() if t.is_floating_point() else t for name, t in example.items()}


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


if __name__ == "__main__":
    main()
