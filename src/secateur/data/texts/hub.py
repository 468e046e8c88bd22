"""Data sets of Hugging Face, by way of the datasets package: from a folder or by a name on the hub."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.data.splits import Part
from secateur.data.texts.address import Columns
from secateur.data.texts.glue import TASKS
from secateur.data.texts.quality import MetricName
from secateur.data.texts.written import Found, Labels, Texts, without_empty
from secateur.errors import DataError, UnknownNameError
from secateur.programs import quiet, reason_of

# what datasets raises for what it cannot find or read
_MISFITS = (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
_GLUE, _GLUE_ON_HUB = "glue/", "nyu-mll/glue"
_USUAL_TEXTS = (
    ("sentence",), ("text",), ("sentence1", "sentence2"), ("question", "sentence"), ("premise", "hypothesis"),
    ("question1", "question2"),
)  # fmt: skip
_USUAL_LABELS = ("label", "labels", "score")
_SPLITS: Mapping[Part, tuple[str, ...]] = {
    "train": ("train",),
    "test": ("validation", "validation_matched", "dev", "test"),  # GLUE's own tests have no labels
}
_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
_UNLABELLED = -1


def read(name: str, columns: Columns) -> Found:
    """The training texts of a data set, and its validation texts as test.

    Raises:
        DataError: the datasets package is missing, or the set cannot be read or lacks texts or labels.
    """
    task = name.removeprefix(_GLUE) if name.startswith(_GLUE) and not Path(name).is_dir() else None
    if task is not None and task not in TASKS:
        raise UnknownNameError("task of GLUE", task, TASKS)
    splits = _splits(_opened(name, task, columns))
    place = f"hf:{name}"
    if not splits:
        raise DataError(f"{place}: has neither training nor validation texts; give another set.")
    parts = {part: _texts(rows, columns, f"{place}: {part}") for part, rows in splits.items()}
    empty = sum(len(rows) for rows in splits.values()) - sum(map(len, parts.values()))
    notes = (f"{empty:,} empty texts were left out",) if empty else ()
    first = next(iter(splits.values()))
    label = _label(first, columns, place)
    if label is None:
        if "train" not in parts:
            raise DataError(f"{place}: has neither labels nor training texts; name its label, as in ?label=COLUMN.")
        return Found(parts, (), None, (*notes, "there are no labels, so the texts are only scored on"))
    names = _names(first, label, place)
    metric: MetricName = TASKS[task].metric if task else "accuracy" if names else "spearman"
    return Found(parts, names, metric, notes)


def _opened(name: str, task: str | None, columns: Columns) -> Any:
    datasets = _package(name)
    folder = Path(name).expanduser()
    try:
        with quiet():
            if folder.is_dir() and any((folder / file).is_file() for file in _SAVED):
                return datasets.load_from_disk(str(folder))
            if task is not None:
                return datasets.load_dataset(_GLUE_ON_HUB, task)
            return datasets.load_dataset(str(folder) if folder.is_dir() else name, columns.config)
    except (*_MISFITS, datasets.exceptions.DatasetsError) as error:
        where = "its files cannot be read" if folder.is_dir() else "no such folder, and not to be had from the hub"
        raise DataError(f"hf:{name}: {where} ({reason_of(error)}); check the name.") from error


def _splits(found: Any) -> dict[Part, Any]:
    """The rows of each part that is there."""
    if not isinstance(found, Mapping):
        return {"train": found}
    there = {part: next((name for name in names if name in found), None) for part, names in _SPLITS.items()}
    return {part: found[name] for part, name in there.items() if name is not None}


def _texts(rows: Any, columns: Columns, place: str) -> Texts:
    there = rows.column_names
    usual = (names for names in _USUAL_TEXTS if all(name in there for name in names))
    chosen = columns.texts or max(usual, key=len, default=())
    missing = [name for name in chosen if name not in there]
    if not chosen or missing:
        raise DataError(
            f"{place}: has columns {', '.join(there)}; name those with texts, as in ?text=COLUMN or ?text=FIRST,SECOND."
        )
    texts = tuple([str(text) for text in rows[name]] for name in chosen)
    label = _label(rows, columns, place)
    found = without_empty(Texts(texts, None if label is None else _labels(rows[label], place)))
    if not len(found):
        raise DataError(f"{place}: holds no row with a text; give another set.")
    return found


def _label(rows: Any, columns: Columns, place: str) -> str | None:
    """The column with labels; None where no name is given, and none is usual."""
    if columns.label and columns.label not in rows.column_names:
        raise DataError(f"{place}: has no column {columns.label!r}, but {', '.join(rows.column_names)}; name another.")
    return columns.label or next((name for name in _USUAL_LABELS if name in rows.column_names), None)


def _labels(values: Sequence[Any], place: str) -> Labels:
    found = np.asarray(values)
    if not np.issubdtype(found.dtype, np.number) or (len(found) and not np.isfinite(found).all()):
        raise DataError(f"{place}: its labels are not all numbers; give a set with numbered classes.")
    if np.issubdtype(found.dtype, np.floating):
        return found.astype(np.float32)
    if (found == _UNLABELLED).any():
        raise DataError(
            f"{place}: {int((found == _UNLABELLED).sum())} texts have no label (-1); give a set with labels."
        )
    return found.astype(np.int64)


def _names(rows: Any, label: str, place: str) -> tuple[str, ...]:
    """The name of each class; none where labels are numbers that are no classes."""
    names = getattr(rows.features[label], "names", None)
    if names:
        return tuple(names)
    labels = _labels(rows[label], place)
    return () if labels.dtype == np.float32 else tuple(map(str, range(int(labels.max()) + 1)))


def _package(name: str) -> Any:
    try:
        with quiet():
            return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"hf:{name}: the datasets package cannot be imported ({error}); pip install 'secateur[text]', or give the "
            "files of GLUE as glue/TASK:DIR."
        ) from error
