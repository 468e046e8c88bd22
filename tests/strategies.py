"""Hypothesis strategies: random feed-forward architectures, and random units to remove from what they offer."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from architectures import ACTIVATIONS, FUNCTIONS, TURNS, Architecture, Step
from secateur.sites import Site, Sites

WIDTHS = st.integers(1, 6)
OUTPUTS = 2


@dataclass
class _Draft:
    """An architecture in the making: blocks append steps and leave one value that is still to be read."""

    draw: st.DrawFn
    features: int
    tokens: int
    steps: list[Step] = field(default_factory=list)

    @property
    def last(self) -> int:
        return len(self.steps)

    @property
    def width(self) -> int:
        return self.steps[-1].width if self.steps else self.features

    def add(
        self, what: str, width: int, *sources: int, how: str = "", owner: int | None = None, bias: bool = True
    ) -> int:
        self.steps.append(Step(what, sources, width, how, bias, owner))
        return self.last

    def linear(self, source: int, width: int) -> int:
        hows = ("module", "module", "functional", "matmul", *(() if self.tokens else ("addmm",)))
        return self.add("linear", width, source, how=self.draw(st.sampled_from(hows)), bias=self.draw(st.booleans()))

    def bend(self) -> int:
        """A norm, an activation and a turn, or any of them."""
        norms = ("none", "layer") if self.tokens else ("none", "batch", "layer")
        norm = self.draw(st.sampled_from(norms))
        if norm != "none" and (self.width > 1 or norm == "batch"):
            self.add("norm", self.width, self.last, how=norm, bias=self.draw(st.booleans()))
        of_each = () if self.tokens else ("prelu of each",)
        bends = st.sampled_from((*sorted(ACTIVATIONS), *sorted(FUNCTIONS), *of_each))
        self.add("activate", self.width, self.last, how=self.draw(bends))
        if self.draw(st.booleans()):
            self.add("turn", self.width, self.last, how=self.draw(st.sampled_from(sorted(TURNS))))
        return self.last

    def layer(self, source: int, width: int) -> int:
        self.linear(source, width)
        return self.bend()


def _layer(draft: _Draft) -> None:
    draft.layer(draft.last, draft.draw(WIDTHS))


def _skip(draft: _Draft) -> None:
    start, width = draft.last, draft.width
    if start == 0:
        return _layer(draft)
    draft.layer(start, draft.draw(WIDTHS))
    draft.linear(draft.last, width)
    return _sealed(draft, "add", start)


def _gate(draft: _Draft) -> None:
    start, width = draft.last, draft.width
    if start == 0:
        return _layer(draft)
    draft.linear(start, draft.draw(st.sampled_from((1, width))))
    draft.add("activate", draft.width, draft.last, how="sigmoid")
    draft.add("multiply", width, start, draft.last)
    return None


def _branches(draft: _Draft) -> None:
    start, width = draft.last, draft.width
    left = start if start and draft.draw(st.booleans()) else draft.layer(start, draft.draw(WIDTHS))
    left_width = width if left == start else draft.width
    draft.layer(start, draft.draw(WIDTHS))
    draft.add("concatenate", left_width + draft.width, left, draft.last)


def _twice(draft: _Draft) -> None:
    """The same square layer used twice."""
    draft.layer(draft.last, draft.draw(WIDTHS))
    draft.linear(draft.last, draft.width)
    owner = draft.last - 1
    draft.bend()
    first = draft.steps[owner]
    draft.add("linear", first.width, draft.last, how=first.how, bias=first.bias, owner=owner)


def _sealed(draft: _Draft, what: str, start: int) -> None:
    draft.add(what, draft.width, start, draft.last)


_BLOCKS: tuple[Callable[[_Draft], None], ...] = (_layer, _skip, _gate, _branches, _twice)


@st.composite
def architectures(draw: st.DrawFn, blocks: int = 3) -> Architecture:
    """Up to so many blocks (layers, skips, gates, concatenations, shared layers), then a head."""
    tokens = draw(st.sampled_from((0, 0, 0, 2, 3)))
    draft = _Draft(draw, draw(st.integers(1, 5)), tokens)
    for block in draw(st.lists(st.sampled_from(_BLOCKS), min_size=1, max_size=blocks)):
        block(draft)
    if tokens and draw(st.booleans()):
        draft.add("flatten", draft.width * tokens, draft.last)
    elif tokens:
        draft.add("mean", draft.width, draft.last)
    draft.linear(draft.last, OUTPUTS)
    return Architecture(draft.features, tuple(draft.steps), tokens, draw(st.booleans()), draw(st.integers(0, 2**16)))


@st.composite
def removals(draw: st.DrawFn, sites: Sites) -> dict[str, tuple[int, ...]]:
    """Any units of every site: none, one, all but one, all where a path around remains, or some."""
    return {site.name: tuple(draw(_units(site))) for site in sites}


def _units(site: Site) -> st.SearchStrategy[list[int]]:
    units = list(range(site.units))
    most = site.units if site.droppable else site.units - 1
    return st.one_of(
        st.just([]),
        st.sampled_from(units).map(lambda unit: [unit]),
        st.sampled_from(units).map(lambda unit: [other for other in units if other != unit]),
        st.lists(st.sampled_from(units), unique=True, max_size=most),
        st.just(units[:most]),
    )
