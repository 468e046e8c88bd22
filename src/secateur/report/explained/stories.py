"""What the page tells of the units and the examples that it shows, piece by piece."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from secateur.explanation import Example, Explanation, Outputs, Picture, Row, SiteExplanation, Text
from secateur.report.bins import FEWEST, MOST
from secateur.report.explained.packing import filtered, packed, packed_json
from secateur.report.markup import Html

TOGETHER = 64  # examples in a piece
BARS = 40  # of a barcode that are drawn; the longest ones


def pieces(explanation: Explanation) -> Iterator[Html]:
    """The scores of all units, then the story of each site, then the examples."""
    yield packed("scores", _scores(explanation.sites))
    for number, site in enumerate(explanation.sites):
        if site.shown:
            story, maps = story_of(site)
            yield packed_json(f"site-{number}", story)
            yield packed(f"maps-{number}", maps)
    examples = [explanation.examples[number] for number in sorted(explanation.examples)]
    for start in range(0, len(examples), TOGETHER):
        yield from _examples(start // TOGETHER, examples[start : start + TOGETHER])


def index(explanation: Explanation) -> dict[str, Any]:
    """What the page has to know before anything is unpacked."""
    return {
        "sites": [
            {
                "name": site.name,
                "units": len(site.scores),
                "most": [unit.number for unit in site.most],
                "least": [unit.number for unit in site.least],
                "remark": site.remark,
            }
            for site in explanation.sites
        ],
        "examples": sorted(explanation.examples),
        "together": TOGETHER,
        "watched": explanation.watched,
        "reading": explanation.reading,
    }


def story_of(site: SiteExplanation) -> tuple[dict[str, Any], bytes]:
    """The shown units of a site, and their maps as bytes."""
    maps = bytearray()
    units = {unit.number: [_outputs(each, maps) for each in unit.outputs] for unit in site.shown}
    return {"units": units}, bytes(maps)


def histogram(values: Float[ndarray, " examples"]) -> tuple[list[int], float, float]:
    """How many outputs lie in each of some bins of equal width, and where the first begins and the last ends."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return [len(values)], low, high
    count = min(MOST, max(FEWEST, math.isqrt(4 * len(values))))
    place = (values.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)  # halves: the whole may be too large
    return np.bincount(np.minimum(place * count, count - 1).astype(int), minlength=count).tolist(), low, high


def _outputs(outputs: Outputs, maps: bytearray) -> dict[str, Any]:
    counts, low, high = histogram(outputs.values)
    groups = (outputs.lowest, outputs.below, outputs.above, outputs.highest)
    return {
        "layer": outputs.layer,
        "counts": counts,
        "ends": [_short(low), _short(high)],
        "bars": [_short(death) for death in outputs.deaths[::-1][:BARS].tolist()],
        "merges": len(outputs.deaths),
        "gap": None if outputs.gap is None else [_short(outputs.gap.low), _short(outputs.gap.high)],
        "groups": [[(number, _short(float(outputs.values[number]))) for number in group] for group in groups],
        "maps": _maps(outputs.maps, maps),
    }


def _maps(found: Mapping[int, Float[ndarray, "height width"]], maps: bytearray) -> dict[str, Any] | None:
    """Where the maps of a unit begin among the bytes to which they are added, and what 0 and 255 mean."""
    if not found:
        return None
    low, high = (float(end) for end in (min(map(np.min, found.values())), max(map(np.max, found.values()))))
    height, width = next(iter(found.values())).shape
    at = {}
    for number, drawn in found.items():
        at[number] = len(maps)
        scaled = (drawn.astype(np.float64) - low) / (high - low if high > low else 1.0) * 255.0
        maps += scaled.round().astype(np.uint8).tobytes()
    return {"at": at, "size": [height, width], "ends": [_short(low), _short(high)]}


def _examples(number: int, some: list[Example]) -> Iterator[Html]:
    yield packed_json(f"examples-{number}", [_example(one) for one in some])
    pictures = [filtered(one.content.pixels) for one in some if isinstance(one.content, Picture)]
    yield packed(f"pictures-{number}", b"".join(pictures))


def _example(example: Example) -> dict[str, Any]:
    match example.content:
        case Text(parts=parts):
            return {"label": example.label, "text": parts}
        case Row(values=values):
            return {"label": example.label, "row": [(name, _plain(value)) for name, value in values]}
        case Picture(pixels=pixels):
            return {"label": example.label, "picture": pixels.shape}


def _scores(sites: tuple[SiteExplanation, ...]) -> bytes:
    """All scores as float32, then all ranks."""
    scores = np.concatenate([np.zeros(0), *(site.scores for site in sites)])
    with np.errstate(over="ignore"):  # what float32 cannot hold is shown as infinite
        small = scores.astype("<f4")
    ranks = np.array([rank for site in sites for rank in site.ranks], dtype="<u4")
    return small.tobytes() + ranks.tobytes()


def _plain(value: str | float) -> str | float:
    """JSON has no NaN and no infinity."""
    return value if isinstance(value, str) or math.isfinite(value) else str(value)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
