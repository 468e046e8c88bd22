"""How the scores of every site lie, where the threshold fell, and which share went."""

import math
from typing import Any

from secateur.report import figures
from secateur.report.bins import Bins, binned, has_logarithms, is_skewed
from secateur.report.charts import histogram
from secateur.report.markup import Html, joined, section, tag
from secateur.result import Result, Round, SiteScores

FIRST_SHOWN = 12


def distributions(result: Result[Any]) -> Html:
    """A histogram per site and round; on a logarithmic scale too, with a switch, where some are skewed."""
    found = [one for one in result.rounds if one.scores]
    if not found:
        return section("scores", "Scores", tag("p", "No scores were recorded.", class_="missing"))
    legend = tag(
        "p",
        tag("span", "stays", class_="key c1"),
        tag("span", "removed", class_="key c2"),
        tag("span", "threshold", class_="key rule"),
        class_="legend",
    )
    skewed = any(is_skewed(scored.scores) for one in found for scored in one.scores)
    intro = "Units per score, site by site; a higher score is more important. "
    parts = [_round(one, several=len(result.rounds) > 1, skewed=skewed) for one in found]
    switch = tag(
        "p", tag("label", tag("input", type="checkbox", id="log", checked=True), " Logarithmic scale"), class_="switch"
    )
    return section("scores", "Scores", legend, switch if skewed else "", *parts, intro=intro)


def _round(one: Round, *, several: bool, skewed: bool) -> Html:
    pictures = [_figure(scored, skewed=skewed) for scored in _decisive(one)]
    first = tag("div", *pictures[:FIRST_SHOWN], class_="histograms")
    rest = pictures[FIRST_SHOWN:]
    more = tag(
        "details", tag("summary", figures.plural(len(rest), "more site")), tag("div", *rest, class_="histograms")
    )
    content = (first, more) if rest else (first,)
    if not several:
        return joined(content)
    title = f"Round {one.number}" + ("" if one.kept else " (not kept)")
    return tag("details", tag("summary", tag("h3", title)), *content, open=one.number <= 1, class_="round")


def _decisive(one: Round) -> list[SiteScores]:
    """One scoring per site: the one by which units went, where a round scores several times; else the last."""
    chosen: dict[str, SiteScores] = {}
    for scored in one.scores:
        if scored.removed or not (scored.site in chosen and chosen[scored.site].removed):
            chosen[scored.site] = scored
    return list(chosen.values())


def _figure(scored: SiteScores, *, skewed: bool) -> Html:
    lost, units = len(scored.removed), len(scored.scores)
    threshold = "" if scored.threshold is None else f", threshold {figures.score(scored.threshold)}"
    label = f"{scored.site}: {lost:,} of {units:,} removed{threshold}"
    lacking = sum(not math.isfinite(value) for value in scored.scores)
    odd = f" · {lacking:,} not finite" if lacking else ""
    caption = tag(
        "figcaption",
        tag("strong", scored.site),
        tag("span", f"{lost:,} of {units:,} removed{threshold}{odd}", class_="note"),
    )
    return tag("figure", caption, *_pictures(scored, label, skewed=skewed), class_="histogram")


def _pictures(scored: SiteScores, label: str, *, skewed: bool) -> list[Html]:
    plain = binned(scored.scores, scored.removed, scored.threshold)
    if plain is None:
        return [tag("p", "No score is finite.", class_="missing")]
    if not skewed or not has_logarithms(scored.scores):
        return [_picture(plain, label)]
    logarithmic = binned(scored.scores, scored.removed, scored.threshold, log=True) or plain
    return [
        tag("div", _picture(plain, label), class_="plain-scale"),
        tag("div", _picture(logarithmic, f"{label}, logarithmic scale"), class_="log-scale"),
    ]


def _picture(bins: Bins, label: str) -> Html:
    def tip(index: int) -> str:
        low, high = (figures.score(edge) for edge in bins.edges[index : index + 2])
        return f"{low} to {high}: {bins.kept[index]:,} stay, {bins.removed[index]:,} removed"

    return histogram(label, bins, tip)
