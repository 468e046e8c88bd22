"""What a set of texts is once its files are read."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float32, Int64
from numpy import ndarray

from secateur.data.splits import Part
from secateur.data.texts.quality import MetricName

Labels = Int64[ndarray, " rows"] | Float32[ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts in one column or two, and the label of each row: a class, a number, or none."""

    columns: tuple[list[str], ...]
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.columns[0])


def without_empty(texts: Texts) -> Texts:
    """The rows whose texts all have letters."""
    rows = [row for row in range(len(texts)) if all(column[row].strip() for column in texts.columns)]
    columns = tuple([column[row] for row in rows] for column in texts.columns)
    return Texts(columns, None if texts.labels is None else texts.labels[rows])


@dataclass(frozen=True, eq=False)
class Found:
    """The parts that are there, the names of the classes (none for numbers), and the figure that decides, if any."""

    parts: Mapping[Part, Texts]
    class_names: tuple[str, ...]
    metric: MetricName | None
    notes: tuple[str, ...] = ()
