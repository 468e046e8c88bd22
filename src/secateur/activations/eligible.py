"""Which calls of rectifiers can be made linear: those between linear operations, in modules that run once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from secateur.activations.calls import Call, calls_in, stack_of
from secateur.activations.ways import axis_of, linear_after, linear_before, norm_before
from secateur.errors import ModelError
from secateur.graph import Traced, shape_of
from secateur.sites import Activation, Pinned, Sites
from secateur.tracing import Example, trace

_SHOWN = 3


def find_activations(model: nn.Module, example: Example) -> Sites:
    """The sites of methods of layers: every rectifier of the model, in the order of the data; no units.

    `pinned` are the calls of rectifiers that no method may choose, and why.

    Raises:
        ModelError: the model cannot be traced, or has no rectifier between two linear operations.
    """
    sites = layers_in(trace(model, example))
    if not sites.activations:
        why = "; ".join(f"{pinned.name} is one, but {pinned.reason}" for pinned in sites.pinned[:_SHOWN])
        raise ModelError(
            f"{type(model).__name__}: no rectifier (ReLU, GELU, SiLU, …) stands between two linear operations"
            f"{f' ({why})' if why else ''}, so no layer can be made linear; methods of units, such as magnitude, may "
            "still find something to remove."
        )
    return sites


def activations_in(traced: Traced) -> tuple[Activation, ...]:
    """Every call of a rectifier between linear operations, each on its own, in the order of the data."""
    return layers_in(traced).activations


def layers_in(traced: Traced) -> Sites:
    """Every call of a rectifier in a graph: eligible, or pinned with a reason.

    Calls in a module that itself runs several times for one output are pinned: none of them can go alone.
    """
    modules = dict(traced.model.named_modules(remove_duplicate=False))
    calls, repeated = calls_in(traced), _repeated(traced, modules)
    kinds = [(id(modules.get(call.own)), "") if call.own else (call.owner, call.operator) for call in calls]
    found: list[Activation] = []
    pinned: list[Pinned] = []
    for place, (name, call) in enumerate(zip(_names(calls), calls, strict=True)):
        eligible = _activation(traced, call, repeated)
        if isinstance(eligible, Activation):
            number = sum(kinds[n] == kinds[place] and calls[n].owner == call.owner for n in range(place))
            found.append(replace(eligible, name=name, call=number, calls=kinds.count(kinds[place])))
        else:
            pinned.append(Pinned(name, 0, call.operator, eligible))
    return Sites((), tuple(pinned), activations=tuple(found))


def _names(calls: list[Call]) -> list[str]:
    """A name for every call: numbered where several would have the same."""
    times, seen = Counter(call.name for call in calls), Counter[str]()
    names = []
    for call in calls:
        seen[call.name] += 1
        names.append(f"{call.name}#{seen[call.name]}" if times[call.name] > 1 else call.name)
    return names


def _repeated(traced: Traced, modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """The paths of modules that run several times for one output, under one name or under several."""
    ran = {(key, path) for node in traced.nodes for key, path, _ in stack_of(node)}
    times = Counter(id(modules.get(path, path)) for _, path in ran)
    return frozenset(path for _, path in ran if path not in modules or times[id(modules[path])] > 1)


def _activation(traced: Traced, call: Call, repeated: frozenset[str]) -> Activation | str:
    """A call of a rectifier as data, or why it is not eligible."""
    again = next((path for path in call.around if path in repeated), None)
    if again is not None:
        return f"{again} runs several times for one output"
    before, after = tuple(linear_before(traced, call.source)), tuple(linear_after(traced, call.node))
    if not before or not after:
        return f"through norms and sums alone, no linear operation comes {'after' if before else 'before'} it"
    axis, shape = axis_of(traced, call.source), shape_of(call.node)
    if axis is None or not shape or shape != shape_of(call.source):
        return "the axis of its channels cannot be told"
    return Activation(
        name=call.name,
        operator=call.operator,
        units=shape[axis],
        axis=axis,
        source=call.source.name,
        node=call.node.name,
        module=call.own,
        owner=call.owner,
        norm=norm_before(traced, call.source),
        before=tuple(dict.fromkeys(before)),
        after=tuple(dict.fromkeys(after)),
    )
