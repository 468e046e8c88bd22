"""The tasks of GLUE (Wang et al., 2019, arXiv 1804.07461) in the files that it distributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from secateur.data.splits import Part
from secateur.data.texts.lines import Table, folder_at, table
from secateur.data.texts.quality import MetricName
from secateur.data.texts.written import Found, Texts
from secateur.errors import DataError

TRAIN = "train.tsv"


@dataclass(frozen=True)
class GlueTask:
    """What a task's files look like, and the figure that decides, as in BERT's table of results.

    `labels` are the classes as they are written in the files, in the order of their numbers; without any, the label is
    a number. `columns` stand for a first line that the files lack.
    """

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...]
    metric: MetricName = "accuracy"
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    dev: str = "dev.tsv"

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.class_names or self.labels


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")
TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(
        ("sentence",), "label", ("0", "1"), "matthews", ("unacceptable", "acceptable"),
        columns=("source", "label", "mark", "sentence"),
    ),
    "mnli": GlueTask(_PAIR, "gold_label", ("entailment", "neutral", "contradiction"), dev="dev_matched.tsv"),
    "mrpc": GlueTask(("#1 String", "#2 String"), "Quality", ("0", "1"), "f1", ("not_equivalent", "equivalent")),
    "qnli": GlueTask(("question", "sentence"), "label", _ENTAILMENT),
    "rte": GlueTask(_PAIR, "label", _ENTAILMENT),
    "sst2": GlueTask(("sentence",), "label", ("0", "1"), class_names=("negative", "positive")),
    "stsb": GlueTask(_PAIR, "score", (), "spearman"),
    "wnli": GlueTask(_PAIR, "label", ("0", "1"), class_names=("not_entailment", "entailment")),
}  # fmt: skip


def read(name: str, folder: Path) -> Found:
    """The training texts of a task where they are there, and its development texts as test.

    Raises:
        DataError: a file or a column is missing, a label is none of the task's, or a text is no UTF-8.
    """
    task = TASKS[name]
    home = _home(folder, task)
    files: dict[Part, str] = {"train": TRAIN, "test": task.dev}
    there = {part: home / file for part, file in files.items() if (home / file).is_file()}
    tables = {part: table(path, (*task.texts, task.label), task.columns) for part, path in there.items()}
    notes = tuple(found.note for found in tables.values() if found.note)
    return Found({part: _texts(task, found) for part, found in tables.items()}, task.names, task.metric, notes)


def _home(folder: Path, task: GlueTask) -> Path:
    """The folder that holds the development texts: without them, nothing could be judged."""
    home = folder_at(folder)
    if not (home / task.dev).is_file():
        raise DataError(
            f"{folder}: holds no {task.dev} (and {'a' if (home / TRAIN).is_file() else 'no'} {TRAIN}); give the "
            f"folder with the task's own {TRAIN} and {task.dev}."
        )
    return home


def _texts(task: GlueTask, found: Table) -> Texts:
    columns = tuple(found.columns[name] for name in task.texts)
    labels = _classes(task, found) if task.labels else _numbers(task, found)
    return Texts(columns, labels)


def _classes(task: GlueTask, found: Table) -> Int64[ndarray, " rows"]:
    codes = {text: number for number, text in enumerate(task.labels)}
    written = found.columns[task.label]
    strange = next((row for row, text in enumerate(written) if text not in codes), None)
    if strange is not None:
        place = f"{found.path}: line {found.lines[strange]}"
        raise DataError(
            f"{place}: {task.label} is {written[strange]!r}; it must be one of {', '.join(task.labels)}: check that "
            "it is the right task."
        )
    return np.array([codes[text] for text in written], dtype=np.int64)


def _numbers(task: GlueTask, found: Table) -> Float32[ndarray, " rows"]:
    values = np.empty(len(found.lines), dtype=np.float32)
    for row, text in enumerate(found.columns[task.label]):
        try:
            values[row] = float(text)
        except ValueError:
            values[row] = np.nan
        if not np.isfinite(values[row]):
            place = f"{found.path}: line {found.lines[row]}"
            raise DataError(f"{place}: {task.label} is {text!r}; it must be a number: check that it is the right task.")
    return values
