"""Addresses of texts, such as `glue/sst2:DIR?max_length=128&limit=500`, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from secateur.data import choosing, query
from secateur.data.choosing import Division
from secateur.data.texts.glue import TASKS
from secateur.errors import SettingsError, UnknownNameError

Source = Literal["glue", "text", "hf"]
FORMS: Mapping[str, str] = {"glue": "glue/TASK:DIR", "text": "text:FILE", "hf": "hf:NAME-or-DIR"}
_EVERY = ("limit", "seed", "batch_size", "max_length", "tokenizer")
_OPTIONS: Mapping[Source, tuple[str, ...]] = {
    "glue": (*_EVERY, "validation", "test", "scoring"),
    "text": _EVERY,
    "hf": (*_EVERY, "validation", "test", "scoring", "text", "label", "config"),
}
_SCHEMES: Mapping[str, Source] = {"text": "text", "hf": "hf"}
_FEWEST = 3  # tokens: a token between the two that many tokenizers add
_MOST_COLUMNS = 2


@dataclass(frozen=True)
class Columns:
    """Where a data set of Hugging Face has its one or two texts and its label; nothing where its names are usual."""

    texts: tuple[str, ...] = ()
    label: str | None = None
    config: str | None = None


@dataclass(frozen=True)
class TextSet:
    """Texts, and what is to be made of them. `seed`, `batch_size` and `tokenizer` None are as the caller says.

    `place` is a folder, a file, or a name on the hub; `task` one of GLUE's.
    """

    source: Source
    place: str
    task: str | None = None
    division: Division = field(default_factory=Division)
    columns: Columns = field(default_factory=Columns)
    tokenizer: str | None = None
    max_length: int | None = None
    seed: int | None = None
    batch_size: int | None = None

    @property
    def address(self) -> str:
        """The address without its options."""
        return f"{self.source}/{self.task}:{self.place}" if self.source == "glue" else f"{self.source}:{self.place}"


def is_text(scheme: str) -> bool:
    """Whether addresses that begin so are of texts."""
    return scheme in _SCHEMES or scheme.partition("/")[0] == "glue"


def parse(scheme: str, rest: str) -> TextSet:
    """What is behind `glue/TASK:`, `text:` or `hf:`: a place and options.

    Raises:
        UnknownNameError: there is no such task or option.
        SettingsError: an option has a value it cannot have, or the place is not given.
    """
    source = _SCHEMES.get(scheme, "glue")
    task = scheme.removeprefix("glue").removeprefix("/") or None if source == "glue" else None
    if source == "glue" and task not in TASKS:
        raise UnknownNameError("task of GLUE", task or "", TASKS)
    place, _, text = rest.partition("?")
    if not place:
        raise SettingsError(f"{scheme}:{rest} is incomplete; write {FORMS[source]}.")
    written = query.options(scheme, text, _OPTIONS[source])
    return TextSet(
        source=source,
        place=place,
        task=task,
        division=choosing.division_of(scheme, written, "text"),
        columns=_columns(written),
        tokenizer=written.get("tokenizer"),
        max_length=query.whole(scheme, written, "max_length", _FEWEST),
        seed=query.whole(scheme, written, "seed", 0),
        batch_size=query.whole(scheme, written, "batch_size", 1),
    )


def _columns(written: Mapping[str, str]) -> Columns:
    texts = tuple(filter(None, written.get("text", "").split(",")))
    if len(texts) > _MOST_COLUMNS:
        raise SettingsError(f"hf: text={written['text']!r} names {len(texts)} columns; give one, or two with a comma.")
    return Columns(texts, written.get("label"), written.get("config"))
