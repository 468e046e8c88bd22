"""Why units matter: what the most and the least important ones put out, and on which examples. Nothing is cut."""

from torch import nn

from secateur import halves
from secateur.calibration import Watch
from secateur.errors import SettingsError
from secateur.explaining.choosing import Detail, order_of
from secateur.explaining.collecting import Collected, Wanted, collect
from secateur.explaining.order import in_order
from secateur.explaining.readings import reading_of
from secateur.explaining.showing import Show, as_given, decoded, of
from secateur.explanation import Explanation, SiteExplanation, Unit
from secateur.methods import get, score
from secateur.result import Agreement
from secateur.scores import Method, Scores
from secateur.sites import Sites
from secateur.task import Task

__all__ = ["Detail", "Show", "as_given", "check_scores_units", "decoded", "explain", "of"]

HIDDEN = "its outputs cannot be followed to the layers that make them"
ALIKE = "all its units score alike"


def explain(
    model: nn.Module,
    sites: Sites,
    task: Task,
    method: Method | str,
    *,
    detail: Detail | None = None,
    watch: Watch = None,
) -> Explanation:
    """The scores of every unit, and what the most and the least important ones of each site put out on which examples.

    Reads the calibration data up to four times: to score, to collect the outputs of the units that are shown, to find
    the examples, and for maps of pictures; `Detail(stability=True)` scores two halves of it as well. What is kept does
    not grow with the number of units.

    Raises:
        SettingsError: the method does not score units.
        DataError: there is too little data, or it changes from reading to reading.
    """
    method = get(method) if isinstance(method, str) else method
    check_scores_units(method)
    detail, task = detail or Detail(), in_order(task)
    scores = score(model, sites, task, method, watch=watch)
    agreed = halves.stability(model, sites, task, method, watch=watch) if detail.stability else {}
    reading = reading_of(method)
    found = collect(model, sites, task, Wanted(scores, reading.look, detail), watch)
    first = next((each.content for each in found.examples.values()), None)
    return Explanation(
        method=method.name,
        comparable=scores.comparable,
        reading=reading.words(first),
        watched=found.watched,
        sites=tuple(_site(name, scores, found, agreed.get(name)) for name in scores.values),
        examples=found.examples,
    )


def check_scores_units(method: Method) -> None:
    """Refuse a method that scores something else.

    Raises:
        SettingsError: names what it scores.
    """
    if method.granularity != "unit":
        found = f"{method.name} scores {method.granularity}s, and explain shows units"
        raise SettingsError(f"{found}; give a method such as obce.")


def _site(name: str, scores: Scores, found: Collected, agreement: Agreement | None) -> SiteExplanation:
    values = scores.values[name].double().cpu().numpy()
    order = order_of(values)
    ranks = {unit: rank for rank, unit in enumerate(order)}
    shown = {
        number: Unit(number, float(values[number]), ranks[number], found.outputs[name][number])
        for number in found.outputs.get(name, {})
    }
    some = found.chosen.get(name)
    return SiteExplanation(
        name=name,
        scores=values,
        ranks=tuple(ranks[unit] for unit in range(len(values))),
        least=tuple(shown[number] for number in some.least) if some else (),
        most=tuple(shown[number] for number in some.most) if some else (),
        agreement=agreement,
        remark=HIDDEN if some is None else ALIKE if len(values) > 1 and (values == values[0]).all() else "",
    )
