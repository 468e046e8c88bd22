"""The page of an explanation: its sections, and the pieces of data that its script unpacks."""

from collections.abc import Callable, Mapping

import numpy as np

from secateur.explanation import Explanation, SiteExplanation
from secateur.report import figures
from secateur.report.explained.ridges import Axis, axes, is_skewed, ridge, ticks
from secateur.report.explained.stories import index, pieces
from secateur.report.markup import Content, Html, Row, badge, joined, section, table, tag
from secateur.report.shell import asset, embedded, shell

HERE = "secateur.report.explained"
CONTENTS = (
    ("scores", "Scores"),
    ("site", "One site"),
    ("every", "Every unit"),
    ("how", "How to read this"),
    ("about", "About"),
)


def page(explanation: Explanation, about: Mapping[str, str]) -> str:
    """The page as HTML text."""
    main = (_head(explanation, about), _scores(explanation), _one_site(explanation), _every(), _how(explanation))
    data = joined([embedded("explained", index(explanation)), *pieces(explanation)])
    return shell(
        f"Explanation by {explanation.method}",
        CONTENTS,
        (*main, _about(explanation, about)),
        data,
        style=asset("explained.css", HERE),
        script=asset("explained.js", HERE),
    )


def _head(explanation: Explanation, about: Mapping[str, str]) -> Html:
    shown = sum(len(site.shown) for site in explanation.sites)
    counts = (
        ("units", f"{explanation.units:,}"),
        ("sites", f"{len(explanation.sites):,}"),
        ("examples watched", f"{explanation.watched:,}"),
        ("units shown in full", f"{shown:,}"),
    )
    cards = (
        tag("li", tag("span", name, class_="label"), tag("span", tag("strong", value), class_="values"))
        for name, value in counts
    )
    return tag(
        "header",
        tag("p", "secateur · explanation", class_="eyebrow"),
        tag("h1", f"Which units matter, and why: {explanation.method}"),
        tag("p", *_of(about), class_="note"),
        tag("div", *_badges(explanation), class_="badges"),
        tag("ul", *cards, class_="cards"),
    )


def _of(about: Mapping[str, str]) -> list[Content]:
    """The model and the data, where they are known."""
    known = [tag("code", about[name]) for name in ("model", "data") if name in about]
    return [known[0], " on ", known[1]] if len(known) > 1 else [*known]


def _badges(explanation: Explanation) -> list[Html]:
    scale = "scores of all sites are on one scale" if explanation.comparable else "scores compare within a site"
    badges = [badge("plain", scale), badge("plain", "nothing was cut")]
    found = [site.agreement for site in explanation.sites if site.agreement]
    known = [each.correlation for each in found if each.correlation is not None]
    if known:
        mean, kept, chance = (float(np.mean(v)) for v in (known, [a.overlap for a in found], [a.chance for a in found]))
        kind = "good" if kept - chance > (1 - chance) / 2 else "warn"
        text = f"halves of the data: rank correlation {mean:.2f}, {figures.percent(kept)} kept by both"
        badges.append(badge(kind, text))
    return badges


def _scores(explanation: Explanation) -> Html:
    scores = [site.scores for site in explanation.sites]
    drawn = axes(scores)
    columns: tuple[Content, ...] = ("Site", "Units", _scaled(drawn, ticks), "Lowest", "Median", "Highest")
    has_halves = any(site.agreement for site in explanation.sites)
    columns = (*columns, *(("Halves correlate", "Kept by both") if has_halves else ()))
    rows = (_row(number, site, drawn, has_halves=has_halves) for number, site in enumerate(explanation.sites))
    body = table("Scores of every site", columns, rows, numeric=(1, *range(3, len(columns))))
    switch = tag("input", type="checkbox", id="log", checked=is_skewed(scores))
    controls = tag("p", tag("label", switch, " Logarithmic scale"), class_="switch") if len(drawn) > 1 else ""
    halves = f" “Halves” are of the data: {_agreed(explanation)}." if has_halves else ""
    intro = f"How many units have which score, the axis the same for all sites; a line marks the median.{halves}"
    return section("scores", "Scores, site by site", controls, body, intro=intro)


def _row(number: int, site: SiteExplanation, drawn: tuple[Axis, ...], *, has_halves: bool) -> Row:
    low, middle, high = (float(value) for value in np.quantile(site.scores, (0.0, 0.5, 1.0), method="nearest"))
    opener: Content = tag("button", site.name, type="button", class_="link", data_site=str(number))
    numbers = (figures.score(value) for value in (low, middle, high))
    picture = _scaled(drawn, lambda axis: ridge(site.name, site.scores, axis))
    return Row((opener, f"{len(site.scores):,}", picture, *numbers, *(_halves(site) if has_halves else ())))


def _halves(site: SiteExplanation) -> tuple[str, ...]:
    found = site.agreement
    if found is None:
        return (figures.NOTHING,) * 2
    return figures.NOTHING if found.correlation is None else f"{found.correlation:.2f}", figures.percent(found.overlap)


def _agreed(explanation: Explanation) -> str:
    """What the halves' columns say, and what chance would give."""
    chance = float(np.mean([site.agreement.chance for site in explanation.sites if site.agreement]))
    kept = f"the share of units kept by one that the other keeps as well, {figures.percent(chance)} by chance"
    return f"the rank correlation of their scores, and {kept}"


def _scaled(drawn: tuple[Axis, ...], draw: Callable[[Axis], Html]) -> Html:
    """What is drawn on each axis; the page's switch shows one of them."""
    if len(drawn) == 1:
        return draw(drawn[0])
    return joined(tag("div", draw(axis), class_="log-scale" if axis.log else "plain-scale") for axis in drawn)


def _one_site(explanation: Explanation) -> Html:
    options = (tag("option", site.name, value=str(number)) for number, site in enumerate(explanation.sites))
    controls = tag("div", tag("label", "Site ", tag("select", *options, id="site-choice")), class_="controls")
    said = f"An output is one number of an example: {explanation.reading}."
    intro = f"The most and the least important units of a site. {said}"
    panels = (
        tag("div", id="site-panel"),
        tag("div", id="unit-panel", tabindex="-1"),
        tag("noscript", tag("p", "This part needs JavaScript.", class_="missing")),
    )
    return section("site", "One site", controls, *panels, intro=intro)


def _every() -> Html:
    search = tag("input", type="search", id="unit-search", placeholder="site, number …", autocomplete="off")
    choices = (("all", "all"), ("shown", "with outputs"))
    options = (tag("option", text, value=value) for value, text in choices)
    controls = tag(
        "div",
        tag("label", "Search ", search),
        tag("label", "Show ", tag("select", *options, id="unit-show")),
        tag("output", id="unit-count", aria_live="polite"),
        class_="controls",
    )
    intro = "Rank 0 is the lowest score of its site. Units with outputs open at a click."
    return section("every", "Every unit", controls, tag("div", id="unit-table"), intro=intro)


def _how(explanation: Explanation) -> Html:
    texts = (
        ("Score", f"What {explanation.method} says of a unit; higher is more important."),
        ("Output", f"One number for each example: {explanation.reading}. Several layers may make a unit together; "
         "each then has outputs of its own."),
        ("Barcode", "A bar for each step at which outputs merge when all of them grow at one pace "
         "(zero-dimensional persistence): its length is the gap between two neighbours. The longest bar is the largest "
         "gap. Many bars of one length say that outputs are spread evenly, one long bar says that they fall into two "
         "parts, or that one example stands apart."),
        ("Sides of the gap", "The examples whose outputs are nearest to the largest gap, below and above it. What "
         "tells the two sides apart is what the unit tells apart, if it tells anything."),
    )  # fmt: skip
    return section("how", "How to read this", tag("dl", *(_term(name, text) for name, text in texts)))


def _term(name: str, text: str) -> Html:
    return joined((tag("dt", name), tag("dd", text)))


def _about(explanation: Explanation, about: Mapping[str, str]) -> Html:
    rows = [Row((name, value)) for name, value in {"method": explanation.method, **about}.items()]
    return section("about", "About", table("About this page", ("What", "Value"), rows))
