"""Linear layers of a network merged into one wherever that is exact and pays."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from secateur.errors import ExactnessError, FoldError, UnknownNameError
from secateur.folding.absorbing import absorb
from secateur.folding.chains import Chain, Link, chains_in, layers_in
from secateur.folding.idle import without_idle
from secateur.folding.modules import module_of, rescale_, without_scale
from secateur.folding.placing import Folded, like, put_
from secateur.folding.proof import check_equal
from secateur.folding.segments import Rules, Segment, macs_of, merged, outline, segments_of
from secateur.folding.worth import Worth, fewer_macs
from secateur.plan import LayerEdit, Plan
from secateur.tracing import Example, arguments_of_example, trace
from secateur.width import copied


def fold(
    model: nn.Module,
    example: Example,
    *,
    worth: Worth = fewer_macs,
    norms: bool = False,
    skips: bool = False,
    into: Sequence[str] | None = None,
) -> Folded:
    """A new network that computes the same in eval mode with fewer layers; the given one is never touched.

    Neighbours are merged where that is exact and where, by `worth`, it does not cost more. A merged layer stands where
    its last convolution or linear layer stood, and an Identity where the others did. With `norms`, batch-norms merge
    into what they follow as well; with `skips`, a block that is linear up to its last modules becomes one layer and
    these. Units that do nothing are cut first: those that give zero whatever comes in, or that nobody weighs, and all
    but one of those that give a constant. `into` names the layers to merge with what stands before them, and does
    nothing else.

    Raises:
        FoldError: what `into` names cannot be merged, exactly or without costing more.
        ModelError: the model cannot be traced.
        ExactnessError: the new network computes something else.
    """
    rules = Rules(worth, norms)
    if into is not None:
        return _neighbours(model, example, rules, into)
    model, cuts, refused = _without_idle(model, example)
    folded = _neighbours(model, example, rules)
    edits, left = folded.edits, folded.refused
    while skips:
        absorbed = absorb(folded.model, example, worth)
        if not absorbed.edits:
            left += absorbed.refused
            break
        folded = _neighbours(absorbed.model, example, rules)
        edits, left = edits + absorbed.edits + folded.edits, folded.refused
    return replace(folded, edits=edits, refused=refused + left, cuts=cuts)


def move_padding(model: nn.Module, example: Example, *, worth: Worth = fewer_macs) -> Folded:
    """A new network whose padding is moved to earlier layers wherever only that lets `fold` merge them afterwards.

    It computes something else along the borders: recover it before folding. The given one is never touched.

    Raises:
        ModelError: the model cannot be traced.
    """
    traced = trace(model, example)
    chains, _ = chains_in(layers_in(traced))
    found = [segments_of(chain, Rules(worth, moving=True)) for chain in chains]
    small = copied(model)
    edits = [_move_(small, segment) for several, _ in found for segment in several if _needs_moving(segment)]
    return Folded(small, tuple(edits), tuple(entry for _, entries in found for entry in entries))


def _neighbours(model: nn.Module, example: Example, rules: Rules, into: Sequence[str] | None = None) -> Folded:
    """A new network with neighbours merged; see `fold`."""
    chains, links = chains_in(layers_in(trace(model, example)))
    found = [segments_of(chain, rules) for chain in chains]
    refused = (*_broken(chains, links, norms=rules.norms), *(entry for _, entries in found for entry in entries))
    segments = [segment for several, _ in found for segment in several if segment.map is not None]
    if into is not None:
        segments = _wanted(segments, links, refused, into)
    small = copied(model)
    edits = tuple(_merge_(small, segment) for segment in segments)
    check_equal(small, model, arguments_of_example(example), lambda net: [_merge_(net, each) for each in segments])
    return Folded(small, edits, refused)


def _without_idle(model: nn.Module, example: Example) -> tuple[nn.Module, Plan, tuple[tuple[str, str], ...]]:
    """A network without idle units and the plan of that, or itself and why not."""
    try:
        return *without_idle(model, example), ()
    except ExactnessError as error:  # its forward counts on the number of units
        return model, Plan(method="idle"), (("idle units", str(error)),)


def _wanted(
    segments: Sequence[Segment],
    links: Sequence[Link],
    refused: Sequence[tuple[str, str]],
    into: Sequence[str],
) -> list[Segment]:
    """The segments that take the places which are asked for.

    Raises:
        FoldError: one cannot be merged; the message says why.
        UnknownNameError: there is no such layer.
    """
    targets = {segment.target.name: segment for segment in segments if len(segment.products) > 1}
    reasons = {link.after.name: link.reason for link in links}
    for name in into:
        if name not in reasons:
            raise UnknownNameError("linear layer", name, reasons)
        if name not in targets:
            why = [reason for place, reason in refused if place.endswith(f" → {name}")] or [reasons[name]]
            raise FoldError(
                f"{name}: it cannot be merged with what stands before it: {why[0] or 'nothing linear does'}"
            )
    return [targets[name] for name in dict.fromkeys(into)]


def _merge_(model: nn.Module, segment: Segment) -> LayerEdit:
    """Put one layer in the place of several, in place."""
    target, one = segment.target, segment.map
    assert one is not None  # only merged segments come here
    gone = [layer.name for layer in segment.layers if layer is not target]
    gone += [layer.ones for layer in segment.layers if layer.ones]
    gone += [name for link in segment.links for name in link.dropouts if _is_dropout(model, name)]
    swaps = [put_(model, name, without_scale(model.get_submodule(name))) for name in gone]
    place = model.get_submodule(target.name)
    if target.is_product:
        swaps.append(put_(model, target.name, like(module_of(one, place), place)))
        parts = macs_of([Segment((layer,)) for layer in segment.layers])
        cost = f": {macs_of([segment]):,} multiply-adds per row instead of {parts:,}"
    else:
        rescale_(place, one)
        cost = ""
    what = outline(one) if target.is_product else "one scale"
    return LayerEdit(target.name, "fold", tuple(swaps), reason=f"{one.name} became {what}{cost}")


def _move_(model: nn.Module, segment: Segment) -> LayerEdit:
    """Let the first product of a segment do all padding, in place."""
    assert segment.map is not None  # only merged segments come here
    paddings = [segment.map.padding, *[(0,) * len(segment.map.padding)] * (len(segment.products) - 1)]
    swaps = []
    for product, padding in zip(segment.products, paddings, strict=True):
        place = model.get_submodule(product.name)
        moved = like(module_of(replace(product.map, padding=padding), place), place)
        moved.weight, moved.bias = place.weight, place.bias
        swaps.append(put_(model, product.name, moved))
    first = segment.products[0].name
    return LayerEdit(first, "padding", tuple(swaps), reason=f"{segment.map.name}: {first} pads for all of them")


def _is_dropout(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name), nn.modules.dropout._DropoutNd)


def _needs_moving(segment: Segment) -> bool:
    """Whether products of a segment can be one only if padding is moved."""
    if segment.map is None or len(segment.products) < 2:
        return False
    try:
        return merged(segment.layers, segment.links).ones
    except FoldError:
        return True


def _broken(chains: Sequence[Chain], links: Sequence[Link], *, norms: bool) -> Iterator[tuple[str, str]]:
    """Neighbours that no chain holds together, and norms in chains that cannot be merged, and why."""
    useful = {layer.node for chain in chains if any(o.is_product for o in chain.layers) for layer in chain.layers}
    for link in links:
        if link.before is not None and link.reason and {link.before.node, link.after.node} <= useful:
            yield f"{link.before.name} → {link.after.name}", f"{link.reason}; only what one layer alone reads merges."
    for chain in chains:
        for layer in chain.layers:
            if norms and layer.reason and len(chain.layers) > 1:
                yield layer.name, layer.reason
