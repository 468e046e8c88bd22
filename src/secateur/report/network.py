"""The network as a picture, from the input down: layers as bars of their widths, what went in dashes, and skips."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from typing import Any

from secateur.plan import Edit, LayerEdit, Plan, Swap
from secateur.report import figures
from secateur.report.layers import in_words
from secateur.report.markup import Html, section, tag
from secateur.report.outcome import kept_rounds
from secateur.report.widths import why
from secateur.result import Block, Result

BARS, NUMBERS, LANE = 150.0, 84.0, 9.0  # widths of the columns behind the names', and of one lane of skips
TALL, LOW = 22.0, 12.0  # rows of layers, and of activations
MOST_LANES = 12
SHORT, LETTER = 36, 6.4  # letters of a name at most, and how wide one is
SIGNS = {"add": "+", "add_": "+", "sub": "−", "mul": "×", "mul_": "×", "cat": "∪", "div": "÷"}
INPUT = "input"


def network(result: Result[Any]) -> Html:
    """Every layer of the original in the order of the data; the wider, the more units, by the square root."""
    blocks = result.blocks
    layers = [block for block in blocks if block.tensor]
    if not layers:
        return section("network", "Network", tag("p", "The result has no drawing of its network.", class_="missing"))
    gone, narrower = sum(not one.after for one in layers), sum(0 < one.after < one.before for one in layers)
    told = f"{figures.plural(len(layers), 'layer')}: {narrower} narrower, {gone} gone, the others as they were."
    keys = (("stays", "c1"), ("removed", "dashed"), ("activation", "dot"), ("where values are joined", "join"))
    legend = tag("p", *(tag("span", text, class_=f"key {kind}") for text, kind in keys), class_="legend")
    picture = _picture(blocks, _reasons(result), told)
    frame = tag("div", picture, class_="scroll network", role="region", aria_label="The network, drawn", tabindex="0")
    return section("network", "Network", legend, frame, intro=f"{told} Point at a layer to see why.")


@dataclass(frozen=True)
class _Sheet:
    """Where things are: how wide the column of names is, the middle of every row, and the units of the widest layer."""

    names: float
    middles: tuple[float, ...]
    widest: int

    @property
    def x(self) -> float:
        """The line that the blocks are on."""
        return self.names + BARS / 2

    @property
    def right(self) -> float:
        """Where the numbers begin."""
        return self.names + BARS + 8

    def lane(self, number: int) -> float:
        """Where a lane of skips is, from 0 on."""
        return self.names + BARS + NUMBERS + LANE * (number + 1)


def _picture(blocks: Sequence[Block], reasons: Mapping[int, str], told: str) -> Html:
    heights = [TALL if block.tensor or not block.before or block.operator == INPUT else LOW for block in blocks]
    layers = [block for block in blocks if block.tensor]
    sheet = _Sheet(
        names=min(max(len(block.name) for block in layers), SHORT) * LETTER + 8,
        middles=tuple(end - height / 2 for end, height in zip(accumulate(heights), heights, strict=True)),
        widest=max(block.before for block in layers) or 1,
    )
    skips = [(source, number) for number, block in enumerate(blocks) for source in block.inputs if source < number - 1]
    lanes = _lanes(skips)
    parts = [
        *(_straight(sheet, number) for number, block in enumerate(blocks) if number - 1 in block.inputs),
        *(_bow(sheet, *skip, lane) for skip, lane in zip(skips, lanes, strict=True)),
    ]
    for number, block in enumerate(blocks):
        parts += _drawn(block, sheet, sheet.middles[number], reasons.get(number, ""))
    width = sheet.lane(max(lanes, default=0) + 1)
    size = {"width": width, "height": sum(heights)}
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {sum(heights):g}", role="img", aria_label=told, **size)


def _drawn(block: Block, sheet: _Sheet, y: float, reason: str) -> Iterator[Html]:
    """A block with its name and numbers."""
    x = sheet.x
    text = f"{block.name}: {block.operator}{_numbers(block)}. {reason}".rstrip()
    if block.tensor:
        full, left = (BARS * sqrt(units / sheet.widest) for units in (block.before, min(block.after, block.before)))
        bars = [tag("rect", x=x - full / 2, y=y - 6, width=max(full, 2), height=12, rx=2, class_="gone")]
        if block.after:
            bars.append(tag("rect", x=x - left / 2, y=y - 6, width=max(left, 2), height=12, rx=2, class_="kept"))
        name = block.name if len(block.name) <= SHORT else f"…{block.name[1 - SHORT :]}"
        numbers = f"{block.before:,}" if block.before == block.after else f"{block.before:,} → {block.after:,}"
        yield tag("text", name, x=sheet.names - 8, y=y + 4, text_anchor="end")
        yield tag("text", numbers if block.after else "gone", x=sheet.right, y=y + 4)
        yield tag("g", *bars, data_tip=text)
    elif block.operator == INPUT:
        yield tag("text", block.name, x=x, y=y + 4, text_anchor="middle", class_="input")
    elif block.before:
        kind = "dot" if block.after else "dot gone"
        yield tag("g", tag("circle", cx=x, cy=y, r=3.5), tag("circle", cx=x, cy=y, r=6, class_="hit"), class_=kind,
                  data_tip=text)  # fmt: skip
    else:
        sign = SIGNS.get(block.operator, "∗")
        circle, letter = tag("circle", cx=x, cy=y, r=8), tag("text", sign, x=x, y=y + 4, text_anchor="middle")
        yield tag("g", circle, letter, class_="join", data_tip=text)


def _numbers(block: Block) -> str:
    if not block.before or block.operator == INPUT:
        return ""
    if not block.after:
        return f", {block.before:,} units, gone"
    return f", {block.before:,} → {block.after:,} units" if block.tensor else f" of {block.before:,} units"


def _straight(sheet: _Sheet, number: int) -> Html:
    """From one block to the next."""
    return tag("line", x1=sheet.x, x2=sheet.x, y1=sheet.middles[number - 1], y2=sheet.middles[number], class_="wire")


def _bow(sheet: _Sheet, source: int, number: int, lane: int) -> Html:
    """From one block to a later one, around what lies between."""
    top, bottom, right = sheet.middles[source], sheet.middles[number], sheet.lane(lane)
    path = f"M{sheet.x:g} {top:g}H{right - 6:g}q6 0 6 6V{bottom - 6:g}q0 6 -6 6H{sheet.x:g}"
    return tag("path", d=path, class_="wire")


def _lanes(skips: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for every skip, so that none lies on another that it overlaps, as far as there are lanes."""
    ends: list[int] = []
    lanes: dict[tuple[int, int], int] = {}
    for top, bottom in sorted(skips):
        lane = next((number for number, end in enumerate(ends) if end <= top), len(ends))
        lane = min(lane, MOST_LANES - 1)
        ends[lane : lane + 1] = [max(bottom, *ends[lane : lane + 1])] if lane < len(ends) else [bottom]
        lanes[(top, bottom)] = lane
    return [lanes[skip] for skip in skips]


def _reasons(result: Result[Any]) -> dict[int, str]:
    """Why blocks lost units or went, by their numbers."""
    rounds = kept_rounds(result)
    plans = [(one.number, plan) for one in rounds for plan in one.plan.steps or (one.plan,)]
    layers = [edit for one in rounds for edit in one.plan.layers]
    found = {}
    for number, block in enumerate(result.blocks):
        if block.before == block.after:
            continue
        own = [why(round_, edit) for round_, plan in plans for edit in plan.edits if _is_of(block, edit, plan)]
        found[number] = " ".join([*own, *(f"{in_words(edit)}." for edit in layers if _went_with(block, edit))])
    return found


def _is_of(block: Block, edit: Edit, plan: Plan) -> bool:
    """Whether a block's outputs went with a site's units: as many of as many, where the weight shrank with the site."""
    axis = 1 if block.operator == "embedding" or "transpose" in block.operator else 0
    cuts = [cut for cut in plan.cuts if (cut.tensor, cut.axis) == (block.tensor, axis)]
    return block.tensor in edit.with_it and any(
        len(cut.removed) * edit.units == len(edit.removed) * cut.length for cut in cuts if edit.removed
    )


def _went_with(block: Block, edit: LayerEdit) -> bool:
    """Whether a change of layers touches a block: it is the activation, or lies in what was replaced."""
    places = [change.module for change in edit.changes if isinstance(change, Swap)]
    return block.name == edit.name or any(block.name == place or block.name.startswith(f"{place}.") for place in places)
