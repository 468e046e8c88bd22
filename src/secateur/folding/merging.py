"""Linear layers of a network merged into one wherever that is exact and pays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import nn

from secateur.depth import part_of
from secateur.errors import FoldError, UnknownNameError
from secateur.folding.chains import Chain, Link, chains_in, layers_in
from secateur.folding.modules import module_of, rescale_
from secateur.folding.proof import check_equal
from secateur.folding.segments import Rules, Segment, macs_of, merged, outline, segments_of
from secateur.folding.worth import Worth, fewer_macs
from secateur.plan import LayerEdit, Swap
from secateur.tracing import Example, arguments_of_example, trace
from secateur.width import copied


@dataclass(frozen=True)
class Folded:
    """A network with layers merged, what was done to it, and which linear neighbours stay apart: where, and why."""

    model: nn.Module
    edits: tuple[LayerEdit, ...]
    refused: tuple[tuple[str, str], ...]


def fold(
    model: nn.Module,
    example: Example,
    *,
    worth: Worth = fewer_macs,
    norms: bool = False,
    into: Sequence[str] | None = None,
) -> Folded:
    """A new network that computes the same in eval mode with fewer layers; the given one is never touched.

    Neighbours are merged where that is exact and where, by `worth`, it does not cost more. A merged layer stands where
    its last convolution or linear layer stood, and an Identity where the others did. With `norms`, batch-norms merge
    into what they follow as well. `into` names the layers to merge with what stands before them, and no others.

    Raises:
        FoldError: what `into` names cannot be merged, exactly or without costing more.
        ModelError: the model cannot be traced.
        ExactnessError: the new network computes something else.
    """
    traced = trace(model, example)
    chains, links = chains_in(layers_in(traced))
    found = [segments_of(chain, Rules(worth, norms)) for chain in chains]
    refused = (*_broken(chains, links, norms=norms), *(entry for _, entries in found for entry in entries))
    segments = [segment for several, _ in found for segment in several if segment.map is not None]
    if into is not None:
        segments = _wanted(segments, links, refused, into)
    small = copied(model)
    edits = tuple(_merge_(small, segment) for segment in segments)
    check_equal(small, model, arguments_of_example(example), lambda net: [_merge_(net, each) for each in segments])
    return Folded(small, edits, refused)


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
    gone += [name for link in segment.links for name in link.dropouts if _is_dropout(model, name)]
    swaps = [_put_(model, name, nn.Identity()) for name in gone]
    place = model.get_submodule(target.name)
    if target.is_product:
        swaps.append(_put_(model, target.name, _like(module_of(one, place), place)))
        parts = macs_of([Segment((layer,)) for layer in segment.layers])
        cost = f": {macs_of([segment]):,} multiply-adds per row instead of {parts:,}"
    else:
        rescale_(place, one)
        cost = ""
    what = outline(segment) if target.is_product else "one scale"
    return LayerEdit(target.name, "fold", tuple(swaps), reason=f"{one.name} became {what}{cost}")


def _move_(model: nn.Module, segment: Segment) -> LayerEdit:
    """Let the first product of a segment do all padding, in place."""
    assert segment.map is not None  # only merged segments come here
    paddings = [segment.map.padding, *[(0,) * len(segment.map.padding)] * (len(segment.products) - 1)]
    swaps = []
    for product, padding in zip(segment.products, paddings, strict=True):
        assert product.map is not None  # it has been merged
        place = model.get_submodule(product.name)
        moved = _like(module_of(replace(product.map, padding=padding), place), place)
        moved.weight, moved.bias = place.weight, place.bias
        swaps.append(_put_(model, product.name, moved))
    first = segment.products[0].name
    return LayerEdit(first, "padding", tuple(swaps), reason=f"{segment.map.name}: {first} pads for all of them")


def _put_(model: nn.Module, name: str, module: nn.Module) -> Swap:
    owner, _, child = name.rpartition(".")
    setattr(model.get_submodule(owner), child, module)
    return Swap(name, part_of(module))


def _like(module: nn.Module, place: nn.Module) -> nn.Module:
    """A module trained or not as the one whose place it takes."""
    learns = any(parameter.requires_grad for parameter in place.parameters())
    return module.requires_grad_(learns).train(place.training)


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
