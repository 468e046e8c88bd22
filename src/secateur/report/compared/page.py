"""The page of a comparison: what is best, the plots, the tables, and every combination."""

from secateur.comparison import Comparison, Ranking
from secateur.report import figures
from secateur.report.compared.combination import combinations
from secateur.report.compared.points import Cost, looks, points
from secateur.report.compared.scatter import mark, scatter
from secateur.report.compared.sheet import sheet
from secateur.report.compared.tables import blocks, cells, failed, qualities
from secateur.report.compared.words import in_short
from secateur.report.facts import flat
from secateur.report.markup import Content, Html, Row, badge, joined, section, table, tag
from secateur.report.outcome import quality_name
from secateur.report.shell import asset, embedded, shell
from secateur.result import TEST

HERE = "secateur.report.compared"
COSTS: tuple[tuple[Cost, str], ...] = (("macs", "MACs"), ("parameters", "parameters"), ("latency", "latency"))


def page(comparison: Comparison) -> str:
    """The page as HTML text."""
    parts = {
        "plots": ("Plots", _plots(comparison)),
        "budgets": ("Budgets", blocks(comparison)),
        "failed": ("Failed", failed(comparison)),
        "cells": ("Every cell", _cells()),
        "how": ("How to read this", _how(comparison)),
        "about": ("About", _about(comparison)),
    }
    if not any(trial.failure for trial in comparison.trials):
        del parts["failed"]
    data = joined([embedded("cells-data", cells(comparison)), embedded("sheet", {"text": sheet(comparison)})])
    contents = [(name, title) for name, (title, _) in parts.items()]
    main = (_head(comparison), *(part for _, part in parts.values()))
    style, script = asset("compared.css", HERE), asset("compared.js", HERE)
    return shell("Comparison of methods", contents, main, data, style=style, script=script)


def _head(comparison: Comparison) -> Html:
    known = [str(comparison.settings[name]) for name in ("model", "data") if comparison.settings.get(name)]
    about: list[Content] = [tag("code", known[0])] if known else []
    about += [" on ", tag("code", known[1])] if len(known) > 1 else []
    return tag(
        "header",
        tag("p", "secateur · comparison", class_="eyebrow"),
        tag("h1", headline(comparison)),
        tag("p", *about, class_="note"),
        tag("ul", *(_card(comparison, ranking) for ranking in comparison.rankings), class_="cards winners"),
    )


def headline(comparison: Comparison) -> str:
    """Which method is best, in one sentence."""
    best = [one.standings[0].method for one in comparison.rankings if one.standings[0].quality]
    budgets = len(comparison.rankings)
    if not best:
        return "Nothing that was tried finished"
    doubt = "" if any(one.is_ahead for one in comparison.rankings) else ", though no lead is clear"
    where = f"with {comparison.rankings[0].budget}" if budgets == 1 else f"under all {budgets} budgets"
    if len({standing.method for one in comparison.rankings for standing in one.standings}) == 1:
        return f"{best[0]} {where.replace('all ', '')}; no other method was tried"
    if len(best) == budgets and len(set(best)) == 1:
        return f"{best[0]} does best {where}{doubt}"
    counts = sorted({name: best.count(name) for name in best}.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} under {count}" for name, count in counts)
    return f"Which method is best depends on the budget: {listed}{doubt}"


def _card(comparison: Comparison, ranking: Ranking) -> Html:
    best = ranking.standings[0]
    if not best.quality:
        return tag("li", tag("span", ranking.budget, class_="label"), tag("strong", "none finished"))
    name = comparison.decisive
    first, last, difference = figures.points(comparison.untouched.quality[name], best.quality[name].mean)
    kind, word = ("good", "ahead of the next") if ranking.is_ahead else ("plain", _doubt(ranking))
    return tag(
        "li",
        tag("span", ranking.budget, class_="label"),
        tag("strong", in_short(best.method, best.compensate, best.epochs)),
        tag("span", f"{quality_name(name)} {first} → {last} ({difference})", class_="note"),
        tag("span", badge(kind, word)),
    )


def _doubt(ranking: Ranking) -> str:
    if ranking.p is None and sum(bool(one.quality) for one in ranking.standings) == 1:
        return "nothing to compare with"
    if ranking.p is None:
        return "level with the next" if "level" in ranking.verdict else "no test"
    return f"may be chance, p = {figures.three(ranking.p)}"


def _plots(comparison: Comparison) -> Html:
    names = qualities(comparison)
    drawn = [tag("div", *_row(comparison, name), class_=f"charts plots {_kind(name)}") for name in names]
    switch = tag("p", tag("label", tag("input", type="checkbox", id="on-test"), " On the test data"), class_="switch")
    chosen = tag("div", *combinations(comparison), id="chosen", aria_label="The chosen combination", role="region")
    intro = "Up and to the left is better; nothing as cheap is better than the dashed line, the Pareto front. Choose a "
    intro += (
        "mark to see what it stands for: click it, or walk with the arrow keys. Marks that would cover others stand a "
    )
    intro += "little beside them."
    return section(
        "plots",
        "Quality over cost",
        _legend(comparison),
        switch if len(names) > 1 else "",
        *drawn,
        chosen,
        intro=intro,
    )


def _kind(name: str) -> str:
    return "of-test" if name.startswith(TEST) else "of-validation"


def _row(comparison: Comparison, name: str) -> list[Html]:
    plots = []
    for cost, title in COSTS:
        found = points(comparison, cost, name)
        if found:
            plots.append(scatter(title, found, comparison.untouched.quality[name], quality_name(name)))
    return plots or [tag("p", "Nothing finished, so there is nothing to draw.", class_="missing")]


def _legend(comparison: Comparison) -> Html:
    keys = [
        tag(
            "span",
            tag("svg", mark(look, 8, 8, 5), viewBox="0 0 16 16", aria_hidden="true"),
            f" {method}",
            class_=f"look m{look}",
        )
        for method, look in looks(comparison).items()
    ]
    rest = (
        ("best", "best under its budget"),
        ("hollow", "as cut: no compensation, no training"),
        ("cross", "untouched"),
    )
    signs = {
        "best": tag("circle", cx=8, cy=8, r=6, class_="best"),
        "hollow": tag("circle", cx=8, cy=8, r=5, class_="mark"),
        "cross": tag("path", d="M3 3L13 13M3 13L13 3M1 8L15 8", class_="untouched"),
    }
    keys += [
        tag("span", tag("svg", signs[name], viewBox="0 0 16 16", aria_hidden="true"), f" {text}", class_=f"look {name}")
        for name, text in rest
    ]
    return tag("p", *keys, class_="legend looks")


def _cells() -> Html:
    search = tag("input", type="search", id="cell-search", placeholder="method, budget, reason …", autocomplete="off")
    choices = (("all", "all"), ("finished", "finished"), ("failed", "failed"))
    options = (tag("option", text, value=value) for value, text in choices)
    controls = tag(
        "div",
        tag("label", "Search ", search),
        tag("label", "Show ", tag("select", *options, id="cell-show")),
        tag("output", id="cell-count", aria_live="polite"),
        tag("button", "Save as CSV", type="button", id="save-csv"),
        class_="controls",
    )
    intro = "A row for each seed. The sheet that can be saved also has the untouched network, and sizes in full."
    return section("cells", "Every cell", controls, tag("div", id="cell-table"), intro=intro)


def _how(comparison: Comparison) -> Html:
    decisive = quality_name(comparison.decisive)
    texts = (
        ("Equal terms", "All start from the same network and see the same data; all that train do it alike, with the "
         "same seeds, the untouched network as teacher."),
        ("Which is best", f"The highest {decisive}, in the mean over seeds; where two are level, the one with fewer "
         "MACs. The choice is made on validation data where there is any, so test figures are untouched by it."),
        ("n and ±", "Figures are means over n seeds, ± one standard deviation. Where nothing is random, n = 1. Seeds "
         "are those of training and of methods that draw, not of other trainings of the network."),
        ("Ahead, or by chance", "A two-sided t-test of the differences between the best and the next, over seeds; "
         "“ahead” is said below p = 0.05. The best was picked for being best: among many, p is rather too small."),
        ("Latency", "Each network in turns with the untouched one, on one thread, after all cells were done and none "
         "was running; as a share of the untouched network's."),
    )  # fmt: skip
    return section("how", "How to read this", tag("dl", *(_term(name, text) for name, text in texts)))


def _term(name: str, text: str) -> Html:
    return joined((tag("dt", name), tag("dd", text)))


def _about(comparison: Comparison) -> Html:
    rows = [Row(pair) for pair in flat("", comparison.settings, 0)]
    rows += [Row(pair) for pair in comparison.versions.items()]
    notes = [tag("li", note) for note in comparison.notes]
    return section(
        "about", "About", table("Settings and versions", ("What", "Value"), rows), tag("ul", *notes) if notes else ""
    )
