"""How many calibration examples layers are solved on, and how far the outputs then are from the original's."""

from functools import partial

from torch import nn

from secateur.compensation.batches import UNSEEN, argument_batches
from secateur.counting import count
from secateur.graph import Traced, shape_of
from secateur.inference import evaluating
from secateur.padding import texts_of
from secateur.task import Task, rows_at, rows_in

ROWS = 8192  # enough for layers of a thousand inputs, and a bound on time whatever the data's length
IMAGES = 1024  # of which many places are looked at
_MEMORY = 3 * 2**30  # bytes of activations, since all examples go through the network in step


def enough(traced: Traced) -> int:
    """How many calibration examples are enough, and fit into memory."""
    shapes = [shape_of(node) or () for node in traced.nodes if node.op == "call_function"]
    most = IMAGES if any(len(shape) > 2 for shape in shapes) else ROWS
    return max(min(most, _MEMORY // max(2 * count(traced).peak_activation_bytes, 1)), 32)


def worse(before: nn.Module, after: nn.Module, traced: Traced, task: Task, rows: int) -> str:
    """In what the second network's outputs are further from the original's than the first's; nothing, if in nothing."""
    early, late = (_departure(net, traced, task, rows) for net in (before, after))
    if all(now <= then for then, now in zip(early, late, strict=True)):
        return ""
    found = f"distance {early[0]:.3g} to {late[0]:.3g}, disagreement {early[1]:.3g} to {late[1]:.3g}"
    return f"together the folds took the output further from the original's ({found})"


def _departure(net: nn.Module, traced: Traced, task: Task, rows: int) -> tuple[float, float]:
    """A network's distance from and disagreement with the original, on every fifth calibration row, without padding."""
    found = task.processes.each(partial(_own_departure, net, traced, task, rows))
    distance, disagreement, seen = (sum(parts) for parts in zip(*found, strict=True))
    return distance / max(seen, 1), disagreement / max(seen, 1)


def _own_departure(net: nn.Module, traced: Traced, task: Task, rows: int) -> tuple[float, float, int]:
    """Sums of both over the rows of this process's batches, and how many rows they are."""
    distance, disagreement, seen, before = 0.0, 0.0, 0, 0
    texts, processes = texts_of(traced), task.processes
    with evaluating(net) as predict, evaluating(traced.model) as original:
        for turn, arguments in enumerate(argument_batches(task, rows)):
            unseen = rows_at(arguments, slice((UNSEEN - 1 - before) % UNSEEN, None, UNSEEN))
            before += rows_in(arguments)
            number = rows_in(unseen)
            if number and turn % processes.size == processes.rank:
                wanted = original(unseen)
                found = texts.hidden(predict(unseen), wanted, unseen)
                distance += number * float(task.distance(found, wanted, 1.0))
                disagreement += number * float(task.disagreement(found, wanted))
                seen += number
    return distance, disagreement, seen
