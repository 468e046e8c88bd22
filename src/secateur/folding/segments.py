"""Which neighbours of a chain become one: whatever is exact and costs least."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import Tensor

from secateur.errors import FoldError
from secateur.folding.algebra import at_axes, composed, joined
from secateur.folding.chains import Chain, Layer, Link, check_order
from secateur.folding.maps import Map
from secateur.folding.modules import is_scalable, module_of
from secateur.folding.worth import Candidate, Worth
from secateur.graph import shape_of


@dataclass(frozen=True)
class Rules:
    """What may be merged, beside what is exact.

    Batch-norms go only with `norms`, or from between two products. `moving` says that padding will be moved.
    """

    worth: Worth
    norms: bool = False
    moving: bool = False


@dataclass(frozen=True)
class Segment:
    """Layers of a chain that are to be one, and what that computes; None where it is one layer, left as it is."""

    layers: tuple[Layer, ...]
    links: tuple[Link, ...] = ()
    map: Map | None = None

    @property
    def target(self) -> Layer:
        """The layer whose place the one takes: the last product, or else the last batch-norm, or else the last."""
        for kind in ("is_product", "is_norm"):
            found = [layer for layer in self.layers if getattr(layer, kind)]
            if found:
                return found[-1]
        return self.layers[-1]

    @property
    def products(self) -> tuple[Layer, ...]:
        """The convolutions and linear layers among them."""
        return tuple(layer for layer in self.layers if layer.is_product)


def segments_of(chain: Chain, rules: Rules) -> tuple[tuple[Segment, ...], tuple[tuple[str, str], ...]]:
    """The segments of a chain that cost least, fewest where that is equal; and what was not merged, and why."""
    count = len(chain.layers)
    possible = {
        (begin, end): segment
        for begin in range(count)
        for end, segment in enumerate(_from(chain, begin, rules), begin + 1)
        if segment.map is None or is_allowed(segment, norms=rules.norms)
    }
    if len(possible) == count:
        return tuple(possible.values()), tuple(_apart(chain, (), rules))
    prices = dict(zip(possible, rules.worth([candidate_of(segment) for segment in possible.values()]), strict=True))
    best: list[tuple[float, int, tuple[tuple[int, int], ...]]] = [(0.0, 0, ())]
    for end in range(1, count + 1):
        ways = [
            (best[begin][0] + prices[begin, end], best[begin][1] + 1, (*best[begin][2], (begin, end)))
            for begin in range(end)
            if (begin, end) in possible
        ]
        best.append(min(ways, key=lambda way: way[:2]))
    chosen = tuple(possible[place] for place in best[-1][2])
    return chosen, tuple(_apart(chain, chosen, rules))


def merged(layers: Sequence[Layer], links: Sequence[Link], *, moving: bool = False) -> Map:
    """What layers of a chain compute, as one map; with padding moved to their first product if `moving`.

    Raises:
        FoldError: that is no one map.
    """
    check_order(layers)
    one = layers[0].map
    has_product = layers[0].is_product
    for layer, link in zip(layers[1:], links, strict=True):
        one = _at(one, layer, link)
        one = joined(one, layer.map) if moving and has_product else composed(one, layer.map)
        has_product = has_product or layer.is_product
    return one


def is_allowed(segment: Segment, *, norms: bool) -> bool:
    """Whether what is exact is also asked for: batch-norms stay unless products merge across them."""
    target = segment.target
    if not target.is_product:
        return is_scalable(target.module) and (norms or sum(layer.is_norm for layer in segment.layers) < 2)
    has_norm = any(layer.is_norm for layer in segment.layers)
    between = not segment.layers[0].is_norm and not _trailing_norm(segment)
    return norms or not has_norm or (len(segment.products) > 1 and between)


def candidate_of(segment: Segment) -> Candidate:
    """A segment as one operator, and what it takes."""
    last, first = segment.layers[-1], segment.layers[0]
    if segment.map is None or not segment.products:
        macs = _macs(last.module.weight, last) if isinstance(last.module.weight, Tensor) and last.is_product else 0.0
        return Candidate(lambda: last.module, _row(last), macs)
    pools = [place for place, link in enumerate(segment.links, 1) if link.pools]
    reads = segment.layers[pools[-1]] if pools else first
    row = list(_row(reads))
    row[-len(segment.map.kernel) - 1] = segment.map.read - segment.map.ones
    one, place = segment.map, segment.target.module
    return Candidate(lambda: module_of(one, place), tuple(row), _macs(one.weight, last))


def macs_of(segments: Sequence[Segment]) -> int:
    """The multiply-adds of some segments, for one row."""
    return round(sum(candidate_of(segment).macs for segment in segments))


def _from(chain: Chain, begin: int, rules: Rules) -> Iterator[Segment]:
    """The segments that begin at a layer, as far as they are exact."""
    yield Segment(chain.layers[begin : begin + 1])
    for end in range(begin + 2, len(chain.layers) + 1):
        layers, links = chain.layers[begin:end], chain.links[begin : end - 1]
        try:
            yield Segment(layers, links, merged(layers, links, moving=rules.moving))
        except FoldError:
            return


def _apart(chain: Chain, chosen: Sequence[Segment], rules: Rules) -> Iterator[tuple[str, str]]:
    """Neighbouring products that stay apart, and why."""
    together = {layer.name: number for number, segment in enumerate(chosen) for layer in segment.layers}
    places = [place for place, layer in enumerate(chain.layers) if layer.is_product]
    for begin, end in pairwise(places):
        first, second = chain.layers[begin], chain.layers[end]
        if together.get(first.name, -1) == together.get(second.name, -2):
            continue
        layers, links = chain.layers[begin : end + 1], chain.links[begin:end]
        try:
            one = merged(layers, links, moving=rules.moving)
        except FoldError as error:
            yield f"{first.name} → {second.name}", str(error)
            continue
        parts = [candidate_of(Segment((layer,))) for layer in layers]
        whole = candidate_of(Segment(layers, links, one))
        yield f"{first.name} → {second.name}", costs(parts, whole, outline(one), rules.worth)[1]


def costs(parts: Sequence[Candidate], one: Candidate, what: str, worth: Worth) -> tuple[bool, str]:
    """Whether one operator costs no more than several, and why it is not made if it does."""
    before, after = sum(worth(parts)), sum(worth([one]))
    macs = f"{one.macs:,.0f} instead of {sum(part.macs for part in parts):,.0f} multiply-adds"
    cost = "" if after == one.macs else f", at a cost of {after:.4g} instead of {before:.4g}"
    return after <= before, f"as {what} it would take {macs}{cost}; worth=always merges it all the same."


def outline(one: Map) -> str:
    """A merged map in words."""
    kernel = "×".join(str(size) for size in one.kernel) or "linear layer"
    ones = " and one of ones" if one.ones else ""
    return f"one {kernel} from {one.read - one.ones} channels{ones} to {one.made}"


def _at(one: Map, layer: Layer, link: Link) -> Map:
    """A map as it stands before the next layer: past an average, or with fewer axes."""
    axes = layer.axes
    if not link.pools and axes == len(one.kernel):
        return one
    if not one.is_pointwise or one.ones:
        kernel = "×".join(str(size) for size in one.kernel)
        raise FoldError(
            f"{layer.name}: {one.name} with its kernel of {kernel} does not commute with the average before it; only "
            "kernels of 1 do."
        )
    return at_axes(one, axes)


def _trailing_norm(segment: Segment) -> bool:
    last = max(place for place, layer in enumerate(segment.layers) if layer.is_product)
    return any(layer.is_norm for layer in segment.layers[last:])


def _macs(weight: Tensor, last: Layer) -> float:
    """Multiply-adds for one row of what a layer gives."""
    shape = shape_of(last.node) or (1,)
    return prod(shape[1:]) * prod(weight.shape[1:])


def _row(layer: Layer) -> tuple[int, ...]:
    return (shape_of(layer.source) or (1, 1))[1:]
