"""What all candidates share: the network, its scores, and the rows that they are compared on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from secateur import methods
from secateur.budget import Count, select_layers
from secateur.compensation.departure import enough
from secateur.errors import CompressionError
from secateur.finding import find_sites
from secateur.folding import fold
from secateur.inference import evaluating
from secateur.methods import score_all
from secateur.padding import texts_of
from secateur.replacing import replace_layers
from secateur.result import Event
from secateur.scores import Method, Scores
from secateur.searching.sensitivity import Curve, Watch, sensitivity
from secateur.sites import Sites
from secateur.stretches import find_layers
from secateur.task import Batch, Split, Task, rows_in
from secateur.tracing import trace

USUAL = ("magnitude", "activation_std", "dense", "ocnna", "obce", "bn_scale", "taylor")
COLLAPSED = (6, 3)  # a sixth and a third of the stretches of layers that can be collapsed are


@dataclass(frozen=True)
class Base:
    """A network that units can be cut from: the original, or what is left of it without some layers."""

    model: nn.Module
    sites: Sites
    scores: Mapping[str, Scores]


@dataclass(frozen=True)
class Judged:
    """How far a network's outputs are from the original's, and its quality where there are labels for it."""

    distance: float
    quality: float | None


@dataclass(frozen=True)
class Bench:
    """The original, its scores by every method, and the rows that candidates are compared on.

    `rows` calibration examples repair a candidate. `layers` are the numbers of stretches that may be collapsed, none
    first. `notes` say which methods cannot score this network.
    """

    task: Task
    base: Base
    rows: int
    layers: tuple[int, ...]
    batches: tuple[Batch, ...]
    outputs: tuple[Any, ...]
    quality: float | None
    whole: float | None = None  # quality on all validation data
    notes: tuple[str, ...] = ()
    watch: Watch = None

    def judged(self, network: nn.Module, part: int = 1) -> Judged:
        """How a candidate does on the rows that all are compared on, or on the first `1 / part` of their batches."""
        texts = texts_of(trace(self.base.model, self.task))
        distance, seen = 0.0, 0
        sums: Tensor | None = None
        some = slice(max(len(self.batches) // part, 1))
        with evaluating(network) as predict:
            for batch, wanted in zip(self.batches[some], self.outputs[some], strict=True):
                arguments = self.task.arguments(batch)
                output = predict(arguments)
                if self.quality is not None:
                    found = self.task.sums(output, batch).cpu()
                    sums = found if sums is None else self.task.join(sums, found)
                distance += float(self.task.distance(texts.hidden(output, wanted, arguments), wanted, 1.0))
                seen += 1
        quality = None if sums is None else self.task.quality(sums).get(self.task.metric)
        return Judged(distance / seen, quality)

    def drop(self, quality: float | None) -> float:
        """The points that a candidate loses on the rows that all are compared on; 0 where there are no labels."""
        return 0.0 if quality is None or self.quality is None else self.quality - quality

    def final_drop(self, quality: float | None) -> float:
        """The points lost on all validation data."""
        return 0.0 if quality is None or self.whole is None else self.whole - quality

    def without(self, layers: int) -> Base:
        """The network with so many stretches collapsed, scored anew."""
        if layers == 0:
            return self.base
        found = find_layers(self.base.model, self.task)
        scores = methods.score(self.base.model, found, self.task, "linear_fit")
        choices = select_layers(scores, found, Count(layers), become="collapse")
        small = replace_layers(self.base.model, found, choices, self.task, become="collapse").model
        small = fold(small, self.task).model  # as the stage of a recipe does
        sites = find_sites(small, self.task)
        return Base(small, sites, _scored(small, sites, self.task, tuple(self.base.scores))[0])

    def curves(self, method: str) -> dict[str, Curve]:
        """How far the output moves as each site loses its lowest scores."""
        base = self.base
        return sensitivity(base.model, base.sites, self.task, base.scores[method], watch=self.watch)


def prepared(
    model: nn.Module,
    task: Task,
    *,
    among: Sequence[str] = USUAL,
    rows: int | None = None,
    watch: Watch = None,
) -> Bench:
    """Everything that candidates share: one pass of scoring, and the original's outputs.

    Raises:
        DataError: there is neither validation nor calibration data, or it is NaN.
        CompressionError: nothing can be removed, or none of the methods can score the network.
    """
    sites = find_sites(model, task)
    if watch:
        watch(Event("score", 0, len(among)))
    scores, notes = _scored(model, sites, task, among)
    whole = enough(trace(model, task))
    split: Split = "validation" if task.validation is not None else "calibration"
    batches, left = [], whole
    for batch in task.batches(split):
        if left <= 0:
            break
        batches.append(batch)
        left -= rows_in(task.arguments(batch))
    with evaluating(model) as predict:
        outputs = tuple(predict(task.arguments(batch)) for batch in batches)
        quality = whole_quality = None
        if split == "validation":
            quality = replace(task, validation=batches).evaluate("validation", predict).get(task.metric)
            whole_quality = quality if left > 0 else task.evaluate("validation", predict).get(task.metric)
    return Bench(
        task=task,
        base=Base(model, sites, scores),
        rows=rows or max(whole // 4, 64),
        layers=_numbers(model, task),
        batches=tuple(batches),
        outputs=outputs,
        quality=quality,
        whole=whole_quality,
        notes=notes,
        watch=watch,
    )


def _scored(
    model: nn.Module, sites: Sites, task: Task, among: Sequence[str]
) -> tuple[dict[str, Scores], tuple[str, ...]]:
    """The scores of all methods that can score this network, in shared passes where they can, and why others cannot."""
    chosen: list[Method] = [methods.get(name) for name in among]
    try:
        return score_all(model, sites, task, chosen), ()
    except CompressionError:
        found, notes = {}, []
        for method in chosen:
            try:
                found[method.name] = methods.score(model, sites, task, method)
            except CompressionError as error:
                notes.append(f"{method.name} was left out: {error}")
        if not found:
            raise
        return found, tuple(notes)


def _numbers(model: nn.Module, task: Task) -> tuple[int, ...]:
    """How many stretches of layers may be collapsed: none, and some shares of those that get cheaper by it."""
    try:
        layers = find_layers(model, task)
    except CompressionError:
        return (0,)
    cheaper = sum(stretch.macs_after < stretch.macs for stretch in layers.stretches)
    return tuple(sorted({0, *(cheaper // part for part in COLLAPSED)}))
