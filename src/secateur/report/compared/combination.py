"""One combination at length: its figures after every step and for every seed, its widths, its settings."""

from collections.abc import Iterator

from secateur.comparison import Comparison, Trial
from secateur.report import figures
from secateur.report.compared.points import looks, numbered
from secateur.report.compared.words import in_short
from secateur.report.facts import flat
from secateur.report.markup import Content, Html, Row, badge, table, tag
from secateur.report.outcome import quality_name

STEPS = ("cut", "compensated", "recovered")
MOST_SITES = 12


def combinations(comparison: Comparison) -> Iterator[Html]:
    """All of them, hidden but the first; the page's script shows the chosen one."""
    look = looks(comparison)
    for number, budget, rank, standing in numbered(comparison):
        trials = [comparison.trials[place] for place in standing.trials]
        name = in_short(standing.method, standing.compensate, standing.epochs)
        title = tag("h3", name, tabindex="-1", class_=f"m{look[standing.method]}")
        best = badge("good", "best under its budget") if rank == 0 and standing.quality else ""
        yield tag(
            "article",
            tag("p", title, " ", tag("span", budget, class_="note"), " ", best, class_="head"),
            *_content(comparison, trials),
            class_="one",
            id=f"one-{number}",
            hidden=number > 0,
        )


def _content(comparison: Comparison, trials: list[Trial]) -> list[Content]:
    failures = list(dict.fromkeys(trial.failure for trial in trials if trial.failure))
    said: list[Content] = [tag("p", badge("bad", "failed"), f" {failure}") for failure in failures]
    finished = [trial for trial in trials if not trial.failure]
    recipe = next((trial.cell.recipe for trial in trials if trial.cell.recipe), None)
    settings = _settings(recipe) if recipe else ""
    if not finished:
        return [*said, settings]
    left = tag("div", _figures(comparison, trials), *_remarks(finished), settings)
    right = tag("div", _network(finished[0], is_alone=len(finished) == 1))
    return [*said, tag("div", left, right, class_="columns")]


def _figures(comparison: Comparison, trials: list[Trial]) -> Html:
    """A row for each seed: quality after every step, and costs."""
    metric = comparison.metric
    steps = [name for name in STEPS if any(step.name == name for trial in trials for step in trial.steps)]
    others = [name for name in comparison.untouched.quality if name != metric]
    titles = (*(f"{metric}, {step}" for step in steps), *(quality_name(name) for name in others))
    columns = ("Seed", *titles, "Processor time")
    rows = [_seed(trial, metric, steps, others) for trial in trials]
    return table("Figures for every seed", columns, rows, numeric=range(1, len(columns)))


def _seed(trial: Trial, metric: str, steps: list[str], others: list[str]) -> Row:
    name = "none needed" if trial.cell.seed is None else str(trial.cell.seed)
    if trial.failure:
        return Row((name, *["failed"] * (len(steps) + len(others)), figures.seconds(trial.seconds)))
    after = {step.name: step.measurement.quality.get(metric) for step in trial.steps}
    quality = [after.get(step) for step in steps] + [trial.final.quality.get(name) for name in others]
    shown = (figures.NOTHING if value is None else f"{value:.2f}" for value in quality)
    return Row((name, *shown, figures.seconds(trial.seconds)))


def _remarks(trials: list[Trial]) -> Iterator[Html]:
    final = trials[0].final
    costs = f"{figures.exact(final.parameters)} parameters, {figures.exact(final.macs)} MACs a row"
    times = [f"{100 * one.share:.0f}{figures.THIN}% at batch {one.own.batch_size}" for one in trials[0].timings]
    latency = f"; latency {', '.join(times)}" if times else ""
    yield tag("p", f"{costs}, {figures.size(final.size_bytes)}{latency}.", class_="note")
    for note in dict.fromkeys(note for trial in trials for note in trial.notes):
        yield tag("p", note, class_="note")


def _network(trial: Trial, *, is_alone: bool) -> Html:
    """What is left of every site, as bars, and what became of layers."""
    whose = "" if is_alone or trial.cell.seed is None else f" (seed {trial.cell.seed})"
    bars = [_bar(name, *pair) for name, pair in trial.widths.items()]
    shown = [tag("ul", *bars[:MOST_SITES], class_="sites")] if bars else []
    if rest := bars[MOST_SITES:]:
        more = tag("summary", figures.plural(len(rest), "more site"))
        shown.append(tag("details", more, tag("ul", *rest, class_="sites")))
    layers = [tag("li", text) for text in trial.layers]
    if layers:
        shown.append(tag("ul", *layers, class_="note"))
    return tag("div", tag("h4", f"What is left{whose}"), *shown)


def _bar(name: str, before: int, after: int) -> Html:
    share = 100 * after / before
    bar = tag(
        "span",
        tag("span", class_="kept", style=f"width:{share:.1f}%"),
        tag("span", class_="gone", style=f"width:{100 - share:.1f}%"),
        class_="bar",
        aria_hidden="true",
    )
    return tag("li", tag("span", name, class_="site"), bar, tag("span", f"{after:,} of {before:,}", class_="note"))


def _settings(recipe: dict[str, object]) -> Html:
    stages = recipe.get("stage")
    stage = stages[0] if isinstance(stages, list) and stages else recipe
    rows = [Row(pair) for pair in flat("", stage, 0)]
    body = table("The recipe of this combination", ("Setting", "Value"), rows)
    return tag("details", tag("summary", "All settings"), body)
