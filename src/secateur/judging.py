"""A neutral judge of any pair: what was cut from a network, by whatever tool, and whether the cut is exact."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from secateur import surgery
from secateur.budget import plan_of
from secateur.errors import CompressionError, ExactnessError
from secateur.finding import find_sites
from secateur.matching import Units, removed_units
from secateur.plan import Certificate
from secateur.tracing import Example
from secateur.width import tensors_of

_SHOWN = 3


@dataclass(frozen=True)
class Judgement:
    """What was found out about a pair.

    `removed` are the units that each site lost, where that could be told. `changed` names tensors whose entries that
    stayed have other values than in the original: by training, or by work that was handed over. `reasons` say what is
    wrong or could not be told. `certificate` says that the cut network puts out what the silenced original does;
    `differs`, that it does not.
    """

    removed: Units = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    certificate: Certificate | None = None
    differs: bool = False

    @property
    def is_pure(self) -> bool:
        """Whether the network is proven to be the original without some units, and nothing else."""
        return self.certificate is not None and not self.changed

    @property
    def is_wrong(self) -> bool:
        """Whether all tensors are those that a cut leaves, and the network does not put out what it should."""
        return self.differs and not self.changed


def judge(original: nn.Module, cut: nn.Module, example: Example) -> Judgement:
    """What was cut from the original, told from equal slices of tensors of one name, and whether the cut is exact.

    Raises:
        ModelError: the original cannot be traced on the example.
    """
    sites = find_sites(original, example)
    unlike = _unlike(original, cut)
    if unlike:
        return Judgement(reasons=(f"the networks are no pair of original and cut: {unlike}",))
    removed, unclear = removed_units(sites, tensors_of(original), tensors_of(cut))
    if unclear:
        return Judgement(removed, reasons=unclear)
    try:
        plan = plan_of(sites, removed)
        again = surgery.apply(original, plan)
    except CompressionError as error:
        return Judgement(removed, reasons=(str(error),))
    misfit = _misfit(again, cut)
    if misfit:
        return Judgement(removed, reasons=(f"cutting these units leaves other shapes: {misfit}",))
    try:
        return Judgement(removed, _changed(again, cut), (), surgery.certify(cut, original, plan, example))
    except ExactnessError as error:
        found = str(error).partition("; ")[0]  # the rest is about plans that were made here
        return Judgement(removed, _changed(again, cut), (found, *_exchanged(again, cut)), differs=True)


def _unlike(original: nn.Module, cut: nn.Module) -> str:
    """Names or numbers of axes that differ, or an axis that grew; empty where there is nothing of that kind."""
    before, after = _shapes(original), _shapes(cut)
    for have, lack, who in ((before, after, "the cut network"), (after, before, "the original")):
        missing = sorted(have.keys() - lack.keys())
        if missing:
            return f"{who} lacks {len(missing)} tensors ({', '.join(missing[:_SHOWN])})"
    grown = [name for name, shape in after.items() if not _fits_into(shape, before[name])]
    return f"{grown[0]} is {list(after[grown[0]])}, in the original {list(before[grown[0]])}" if grown else ""


def _fits_into(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return len(small) == len(large) and all(s <= b for s, b in zip(small, large, strict=True))


def _misfit(again: nn.Module, cut: nn.Module) -> str:
    wanted, found = _shapes(again), _shapes(cut)
    odd = [name for name in wanted if wanted[name] != found[name]]
    return f"{odd[0]} is {list(found[odd[0]])}, not {list(wanted[odd[0]])}" if odd else ""


def _changed(again: nn.Module, cut: nn.Module) -> tuple[str, ...]:
    """The tensors whose values are not those that the cut alone leaves."""
    found = tensors_of(cut)
    return tuple(name for name, tensor in tensors_of(again).items() if not tensor.cpu().equal(found[name].cpu()))


def _exchanged(again: nn.Module, cut: nn.Module) -> tuple[str, ...]:
    """Modules of another class than the cut alone leaves, as activations that were made linear are."""
    wanted, found = ({name: type(m).__name__ for name, m in net.named_modules()} for net in (again, cut))
    odd = [name for name, kind in wanted.items() if found.get(name, kind) != kind]
    return tuple(f"{name or 'the network'}: is {found[name]}, not {wanted[name]}" for name in odd[:_SHOWN])


def _shapes(model: nn.Module) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(model).items()}
