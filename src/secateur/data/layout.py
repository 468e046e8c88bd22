"""What the columns of a table are: features of numbers or text, and the target."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from secateur.data.columns import Column, check_feature, check_numeric
from secateur.data.dataset import Kind
from secateur.data.targets import Classes, classes, decide, with_test_texts
from secateur.errors import DataError

MIN_ROWS = 10


@dataclass(frozen=True)
class Layout:
    """The columns of a table, checked. `classes` is None for a regression, `gaps` names number columns with gaps."""

    place: str
    features: tuple[Column, ...]
    target: Column
    classes: Classes | None
    gaps: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What the target asks for."""
        return "regression" if self.classes is None else "classification"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The features that are numbers."""
        return tuple(column.name for column in self.features if not column.is_text)

    @property
    def texts(self) -> tuple[str, ...]:
        """The features that are text."""
        return tuple(column.name for column in self.features if column.is_text)

    @property
    def types(self) -> dict[str, str]:
        """How each column is to be read."""
        of_features = {column.name: "str" if column.is_text else "float64" for column in self.features}
        return {**of_features, self.target.name: "float64" if self.classes is None else "str"}


def lay_out(columns: Mapping[str, Column], target: str, wanted: Kind | None, place: str) -> Layout:
    """The layout of a table whose columns were inspected.

    Raises:
        DataError: the table is too small, or a column does not fit.
    """
    column = columns[target]
    features = tuple(other for name, other in columns.items() if name != target)
    if column.rows < MIN_ROWS:
        raise DataError(f"{place}: {column.rows} rows; at least {MIN_ROWS} are needed to train, validate and test.")
    if not features:
        raise DataError(
            f"{place}: {target!r} is the only column; another one is needed to predict it from. Check sep=."
        )
    for feature in features:
        check_feature(feature, place)
    kind = decide(column, wanted, place)
    found = classes(column, place) if kind == "classification" else None
    return Layout(place, features, column, found, _gaps(features), _notes(features))


def with_test(layout: Layout, columns: Mapping[str, Column], place: str) -> Layout:
    """The layout of a table and its test file.

    Raises:
        DataError: the test file does not fit.
    """
    known = {column.name for column in (*layout.features, layout.target)}
    if set(columns) != known:
        odd = sorted(set(columns) ^ known)
        found = f"{len(columns)} columns where {layout.place} has {len(known)}, different in {odd[0]!r}"
        raise DataError(f"{place}: {found}; both files need the same columns.")
    target = columns[layout.target.name]
    if target.rows == 0:
        raise DataError(f"{place}: the test file has no rows; give some, or leave test= out.")
    if target.missing:
        found = f"target {target.name!r}: {target.missing} of {target.rows} entries are missing"
        raise DataError(f"{place}: {found}, first in row {target.first_missing}; leave those rows out.")
    for name in layout.numbers:
        check_numeric(columns[name], place)
    gaps = tuple(name for name in layout.numbers if name in layout.gaps or columns[name].missing)
    if layout.classes is None:
        check_numeric(target, place)
        return replace(layout, gaps=gaps)
    found_classes, stripped = with_test_texts(layout.classes, layout.target, target, place)
    notes = (f"the full stop at the end of the labels in {place} was left out",) if stripped else ()
    return replace(layout, classes=found_classes, gaps=gaps, notes=(*layout.notes, *notes))


def _gaps(features: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in features if column.missing and not column.is_text)


def _notes(features: tuple[Column, ...]) -> tuple[str, ...]:
    holed = [column for column in features if column.missing]
    texts = [column.name for column in features if column.is_text]
    missing = sum(column.missing for column in holed)
    notes = []
    if texts:
        notes.append(f"one-hot: {', '.join(texts)}")
    if holed:
        ways = "median of the training rows for numbers, a category of its own for text"
        notes.append(f"{missing} entries missing in {', '.join(column.name for column in holed)}: {ways}")
    return tuple(notes)
