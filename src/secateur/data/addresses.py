"""Data addresses, such as `csv:adult.csv?target=income`, taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from secateur.data.dataset import Kind
from secateur.errors import SettingsError, UnknownNameError

FORMS = {
    "sklearn": "sklearn:NAME",
    "csv": "csv:FILE?target=COLUMN",
    "FILE.py": "FILE.py:FUNCTION",
}
OPTIONS = ("target", "header", "missing", "test", "task", "sep", "stream")
SEPARATORS = {"tab": "\t", "space": r"\s+"}
KINDS: dict[str, Kind] = {"classification": "classification", "regression": "regression"}


@dataclass(frozen=True)
class Bundled:
    """Data that comes with scikit-learn."""

    name: str


@dataclass(frozen=True)
class Table:
    """A CSV file and how to read it. `kind` None is found out from the target."""

    path: Path
    target: str
    header: bool = True
    missing: tuple[str, ...] = ()
    test: Path | None = None
    kind: Kind | None = None
    separator: str = ","
    stream: bool = False


@dataclass(frozen=True)
class Function:
    """A function in a Python file."""

    path: Path
    name: str


Address = Bundled | Table | Function


def parse(address: str) -> Address:
    """What an address names: `sklearn:NAME`, `csv:FILE?target=COLUMN&option=value`, or `FILE.py:FUNCTION`.

    Options of `csv:` are target (a name, or a number from 0, or from -1 backwards), header (0 or 1; 0 where the target
    is a number), missing (texts that mean missing, with commas between), test (a file), task, sep (a character, tab or
    space) and stream (0 or 1). Special characters may be written as in a web address, such as %26 for &.

    Raises:
        UnknownNameError: there is no such kind of data, or no such option.
        SettingsError: an option has a value it cannot have, or the target is not given.
    """
    scheme, colon, rest = address.partition(":")
    path, _, function = address.rpartition(":")
    if scheme == "sklearn" and rest:
        return Bundled(rest)
    if scheme == "csv" and rest:
        return _table(rest)
    if path.endswith(".py") and function:
        return Function(Path(path), function)
    if scheme in FORMS or address.endswith(".py"):
        raise SettingsError(f"{address!r} is incomplete; write {FORMS.get(scheme, FORMS['FILE.py'])}.")
    raise UnknownNameError("data address", scheme if colon else address, FORMS.values())


def _table(rest: str) -> Table:
    file, _, query = rest.partition("?")
    options = _options(query)
    target = options.get("target")
    if not target:
        raise SettingsError(f"csv:{file}: the target column is not given; write csv:{file}?target=COLUMN.")
    if not file:
        raise SettingsError(f"csv:?{query}: the file is not given; write {FORMS['csv']}.")
    by_number = target.removeprefix("-").isdecimal()
    return Table(
        path=Path(file).expanduser(),
        target=target,
        header=_switch("header", options.get("header", "0" if by_number else "1")),
        missing=tuple(text for text in options.get("missing", "").split(",") if text),
        test=Path(options["test"]).expanduser() if options.get("test") else None,
        kind=_kind(options.get("task")),
        separator=_separator(options.get("sep", ",")),
        stream=_switch("stream", options.get("stream", "0")),
    )


def _options(query: str) -> Mapping[str, str]:
    options = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in OPTIONS:
            raise UnknownNameError("option of csv:", key, OPTIONS)
        if key in options:
            raise SettingsError(f"csv: {key}= is given twice; give it once, and write & inside a value as %26.")
        options[key] = unquote(value)
    return options


def _switch(key: str, value: str) -> bool:
    if value not in ("0", "1"):
        raise SettingsError(f"csv: {key}={value!r}; it must be 0 or 1.")
    return value == "1"


def _kind(value: str | None) -> Kind | None:
    if value and value not in KINDS:
        raise UnknownNameError("task", value, KINDS)
    return KINDS[value] if value else None


def _separator(value: str) -> str:
    if value not in SEPARATORS and len(value) != 1:
        raise SettingsError(f"csv: sep={value!r}; it must be one character, {' or '.join(SEPARATORS)}.")
    return SEPARATORS.get(value, value)
