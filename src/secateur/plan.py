"""What will be removed, and why: plain data that survives a round trip through JSON bit for bit."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import index
from typing import Any

from secateur.errors import PlanError

FORMAT = 1
NOTHING = "nothing"

Setting = int | float | bool | str | tuple[int, ...]


@dataclass(frozen=True)
class Removal:
    """One removed unit: its number in the original, its score and rank (0 = lowest) in its site."""

    unit: int
    score: float
    rank: int


@dataclass(frozen=True)
class Edit:
    """What one site loses, and why.

    `threshold` is the score up to which units went (None where the choice was not made by a score); `with_it` names the
    tensors that shrank together; `taken_over_by` says what took over the removed units' work. Unit `kept[i]` of the
    original is unit `i` of the cut network.
    """

    site: str
    units: int
    removed: tuple[Removal, ...]
    threshold: float | None = None
    with_it: tuple[str, ...] = ()
    taken_over_by: str = NOTHING

    @property
    def kept(self) -> tuple[int, ...]:
        """The units that stay, ascending."""
        gone = {removal.unit for removal in self.removed}
        return tuple(unit for unit in range(self.units) if unit not in gone)


@dataclass(frozen=True)
class Cut:
    """The entries that one axis of one parameter or buffer loses; `length` is the axis before."""

    tensor: str
    axis: int
    length: int
    removed: tuple[int, ...]


@dataclass(frozen=True)
class Resize:
    """An integer attribute of a module that holds a size which the cuts change."""

    module: str
    name: str
    before: int
    after: int


@dataclass(frozen=True)
class Part:
    """A module as data: its kind, a key of `depth.KINDS`, and the arguments that it is built with.

    A `sequence` has `parts` and no settings; so has a `first`, which leaves out all inputs but the first.
    """

    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    parts: tuple["Part", ...] = ()


@dataclass(frozen=True)
class Untie:
    """Gives every call of a rectifier in one module's own forward a module of its own.

    `names` are those of the new modules in `owner`, in the order of the calls.
    """

    owner: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Swap:
    """A module that another takes the place of."""

    module: str
    by: Part


@dataclass(frozen=True)
class LayerEdit:
    """What became of one activation or stretch of layers, and why.

    `action` is `identity`, `on_off`, `affine` (an activation made linear), `fold` (linear layers merged exactly),
    `padding` (moved to an earlier layer), `collapse` (a stretch replaced by one fitted operator), `drop`, or `mask`
    (nothing but zeros in the weights that lead to an activation). `score` and `rank` (0 = lowest) are those by which it
    was chosen, NaN and -1 where it was not by a score; `error` is the share of the variance that a fit leaves
    unexplained, NaN where nothing was fitted. A layer without `changes` is only chosen: what it becomes is made from
    data, by `replace_layers`; `mask` never has any.
    """

    name: str
    action: str
    changes: tuple[Untie | Swap, ...]
    score: float = math.nan
    rank: int = -1
    error: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Certificate:
    """The proof that came with a cut: the cut network beside the original with the removed units silenced."""

    max_difference: float
    relative_difference: float
    tolerance: float
    inputs: str
    dtype: str


@dataclass(frozen=True)
class Plan:
    """Edits (why), cuts (what exactly), and the modules that change besides.

    `emptied` names norms over units that are all gone: they become `Identity`. `biased` names linear layers that gain
    a bias, to take over a constant. `attributes` are the modules' own numbers that change, such as the size of a head.
    `layers` are put in place first, cuts made then. A plan with `steps` is these, applied one after the other; besides
    them it holds only the edits and layers of all, for whoever reads. Applying a plan needs nothing but the model, and
    the weights of those modules that come in.
    """

    method: str
    edits: tuple[Edit, ...] = ()
    cuts: tuple[Cut, ...] = ()
    emptied: tuple[str, ...] = ()
    biased: tuple[str, ...] = ()
    certificate: Certificate | None = None
    attributes: tuple[Resize, ...] = ()
    layers: tuple[LayerEdit, ...] = ()
    steps: tuple["Plan", ...] = ()

    @property
    def removed(self) -> Mapping[str, tuple[int, ...]]:
        """The removed units of every site that loses some."""
        return {edit.site: tuple(removal.unit for removal in edit.removed) for edit in self.edits if edit.removed}

    @property
    def chosen(self) -> tuple[LayerEdit, ...]:
        """The layers that are only chosen yet."""
        return tuple(edit for edit in self.layers if not edit.changes and edit.action != "mask")


def to_json(plan: Plan) -> str:
    """The plan as JSON text."""
    return json.dumps({"format": FORMAT, **_written(asdict(plan))}, allow_nan=True)


def _written(data: dict[str, Any]) -> dict[str, Any]:
    """A plan's data without layers and steps where it has none, so that earlier versions read it too."""
    written = {name: value for name, value in data.items() if value or name not in ("layers", "steps")}
    if "steps" in written:
        written["steps"] = [_written(step) for step in written["steps"]]
    return written


def from_json(text: str) -> Plan:
    """The plan that `to_json` wrote.

    Raises:
        PlanError: the text is not such a plan.
    """
    try:
        data = json.loads(text, parse_constant=_CONSTANTS.get)
        if data.pop("format") != FORMAT:
            raise PlanError(f"the plan is not of format {FORMAT}; write it again with this version of secateur.")
        return _plan(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PlanError(
            f"this is not a plan of format {FORMAT}: {error}; write it again with `secateur plan`."
        ) from error


_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # the NaN that fields have by default


def _plan(data: dict[str, Any]) -> Plan:
    certificate = data.pop("certificate")
    return Plan(
        method=str(data.pop("method")),
        edits=tuple(_edit(edit) for edit in data.pop("edits")),
        cuts=tuple(_cut(cut) for cut in data.pop("cuts")),
        emptied=tuple(data.pop("emptied")),
        biased=tuple(data.pop("biased")),
        certificate=Certificate(**certificate) if certificate else None,
        attributes=tuple(_resize(resize) for resize in data.pop("attributes", ())),
        layers=tuple(layer_of(layer) for layer in data.pop("layers", ())),
        steps=tuple(_plan(step) for step in data.pop("steps", ())),
        **data,
    )


def _cut(data: dict[str, Any]) -> Cut:
    entries = tuple(index(entry) for entry in data["removed"])
    return Cut(**{**data, "axis": index(data["axis"]), "length": index(data["length"]), "removed": entries})


def _resize(data: dict[str, Any]) -> Resize:
    return Resize(**{**data, "before": index(data["before"]), "after": index(data["after"])})


def _edit(data: dict[str, Any]) -> Edit:
    removed = tuple(Removal(**{**removal, "unit": index(removal["unit"])}) for removal in data["removed"])
    return Edit(**{**data, "removed": removed, "with_it": tuple(data["with_it"])})


def layer_of(data: dict[str, Any]) -> LayerEdit:
    """What became of some layers, from the plain data in a plan's JSON; raises whatever is wrong with it."""
    return LayerEdit(**{**data, "changes": tuple(_change(change) for change in data["changes"])})


def _change(data: dict[str, Any]) -> Untie | Swap:
    match data:
        case {"owner": str(owner), "names": [*names], **rest} if not rest:
            return Untie(owner, tuple(str(name) for name in names))
        case {"module": str(module), "by": dict(by), **rest} if not rest:
            return Swap(module, _part(by))
    raise ValueError(f"no change of a layer: {data}")


def _part(data: dict[str, Any]) -> Part:
    settings = {str(name): _setting(value) for name, value in data["settings"].items()}
    return Part(str(data["kind"]), settings, tuple(_part(part) for part in data["parts"]))


def _setting(value: Any) -> Setting:
    match value:
        case list():
            return tuple(index(number) for number in value)
        case int() | float() | str():
            return value
    raise ValueError(f"no setting of a module: {value}")
