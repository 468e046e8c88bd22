"""The first screen: what happened in one sentence, the key figures, and what needs a second look."""

import math
from collections.abc import Callable
from typing import Any

from secateur.plan import Certificate
from secateur.report import figures
from secateur.report.markup import Content, Html, badge, tag
from secateur.report.outcome import (
    Speed,
    decisive,
    gone,
    is_alone,
    kept_rounds,
    latency_key,
    latency_name,
    quality_name,
    speeds,
)
from secateur.result import Fold, Result

FIRM = "\u00a0"  # a space at which no line ends


def headline(result: Result[Any]) -> str:
    """What happened, in one sentence with numbers; a speed is only named where it was measured."""
    before, after = result.original, result.final
    if not any(one.plan.removed or one.plan.layers for one in kept_rounds(result)):
        return "Nothing was removed: the network is as it was."
    parts = (
        _fewer(before.parameters, after.parameters, "parameters"),
        _fewer_times(before.macs, after.macs, "MACs"),
        *(_faster(pair) for pair in speeds(result)[:1]),
        _quality(result),
    )
    sentence = ", ".join(part for part in parts if part)
    return sentence[:1].upper() + sentence[1:]


def summary(result: Result[Any]) -> Html:
    """Headline, badges and cards."""
    kept = len(kept_rounds(result))
    facts = (
        result.method,
        *gone(result),
        f"{kept} of {figures.plural(len(result.rounds), 'round')} kept",
    )
    return tag(
        "header",
        tag("p", "Compression report", class_="eyebrow"),
        tag("h1", headline(result)),
        tag("p", " · ".join(facts), class_="intro"),
        tag("p", *_badges(result), class_="badges"),
        tag("ul", *_cards(result), class_="cards", aria_label="Key figures, original to final"),
        id="summary",
    )


def is_proven(certificate: Certificate) -> bool:
    """Whether the difference is within the tolerance."""
    return certificate.relative_difference <= certificate.tolerance


def is_refused(fold: Fold) -> bool:
    """Whether the guard let nothing through."""
    return fold.used == "none" != fold.asked


def _fewer(before: float, after: float, what: str) -> str:
    if after == before or not before:
        return f"the same number of {what}"
    share = abs(1 - after / before)
    return f"{figures.percent(share)} {'fewer' if after < before else 'more'} {what}"


def _fewer_times(before: float, after: float, what: str) -> str:
    if after and before / after >= 1.1:
        return f"{figures.times(before / after)} fewer {what}"
    return _fewer(before, after, what)


def _faster(pair: Speed) -> str:
    where = f"at batch{FIRM}{pair.before.batch_size}"
    if not pair.is_clear:
        return f"no measurable change in speed {where}"
    ratio = pair.ratio if pair.ratio >= 1 else 1 / pair.ratio
    shown = figures.times(ratio) if ratio >= 1.1 else figures.percent(ratio - 1)
    return f"{shown} {'faster' if pair.ratio >= 1 else 'slower'} {where}"


def _quality(result: Result[Any]) -> str:
    """The quality on the test data, since the choices were made on the validation data; else on that."""
    before, after = result.original.quality, result.final.quality
    for name in decisive(result):
        if math.isfinite(before.get(name, math.nan)) and math.isfinite(after.get(name, math.nan)):
            first, last, difference = figures.points(before[name], after[name])
            return f"{quality_name(name)} {first}{FIRM}→{FIRM}{last} ({difference}{FIRM}points)"
    return "quality not measured"


def _badges(result: Result[Any]) -> list[Content]:
    proofs = [one.plan.certificate for one in kept_rounds(result) if one.plan.removed]
    missing = proofs.count(None)
    broken = sum(1 for proof in proofs if proof is not None and not is_proven(proof))
    refused = sum(is_refused(fold) for one in result.rounds for fold in one.folds)
    dropped = sum(1 for one in result.rounds if not one.kept)
    badges: list[Content] = []
    if broken:
        badges.append(badge("bad", f"{figures.plural(broken, 'cut')} not exact"))
    elif proofs and not missing:
        badges.append(badge("good", "every cut proven exact"))
    if missing:
        badges.append(badge("plain", f"{figures.plural(missing, 'cut')} without certificate"))
    if refused:
        badges.append(badge("warn", f"{figures.plural(refused, 'fold')} refused by the guard"))
    if dropped:
        badges.append(badge("warn", f"{figures.plural(dropped, 'round')} not kept"))
    if not speeds(result):
        badges.append(badge("plain", "latency not measured"))
    return badges


def _cards(result: Result[Any]) -> list[Html]:
    before, after, pairs = result.original, result.final, speeds(result)
    alone = is_alone([latency_key(pair.before) for pair in pairs])
    cards = [
        _cost("parameters", before.parameters, after.parameters, figures.short),
        _cost("MACs per example", before.macs, after.macs, figures.short),
        _cost("size of the weights", before.size_bytes, after.size_bytes, figures.size),
    ]
    for pair in pairs:
        name = latency_name(latency_key(pair.before), alone=alone)
        note = "" if pair.is_clear else "within the noise"
        cards.append(_cost(name, pair.before.median_ms, pair.after.median_ms, figures.milliseconds, note=note))
    return [*cards, *_qualities(result)]


def _cost(name: str, before: float, after: float, show: Callable[[float], str], *, note: str = "") -> Html:
    share = min(1.0, after / before) if before > 0 and after >= 0 else 1.0
    kind = "meter worse" if after > before and not note else "meter"
    bar = tag("span", tag("span", style=f"width:{100 * share:.1f}%"), class_=kind, aria_hidden="true")
    return _card(name, show(before), show(after), note or figures.change(before, after), bar)


def _qualities(result: Result[Any]) -> list[Html]:
    before, after = result.original.quality, result.final.quality
    cards: list[Html] = []
    both = sorted(before.keys() & after.keys())
    for name in sorted(both, key=(*decisive(result), *both).index):
        if name in decisive(result):
            first, last, difference = figures.points(before[name], after[name])
            cards.append(_card(quality_name(name), first, last, f"{difference} points"))
        else:
            first, last = figures.three(before[name]), figures.three(after[name])
            cards.append(_card(quality_name(name), first, last, figures.change(before[name], after[name])))
    return cards


def _card(name: str, before: str, after: str, note: str, *more: Html) -> Html:
    values = tag("span", tag("span", f"{before} → ", class_="before"), tag("strong", after), class_="values")
    return tag("li", tag("span", name, class_="label"), values, tag("span", note, class_="note"), *more)
