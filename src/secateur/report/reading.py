"""JSON to a result, every field checked: what the page is made from has the types it says."""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from secateur.comparison import Comparison, Trial
from secateur.errors import FileError
from secateur.files import reading
from secateur.plan import LayerEdit, Plan, layer_of
from secateur.result import FORMAT, Block, Result, Round

Read = TypeVar("Read")
Reader = Callable[[Any], Any]

_ORIGINS = {
    "result": "the result.json of a run",
    "comparison": "the comparison.json of a comparison",
    "cell": "a file in the folder cells of a comparison",
}

LONGEST_PATH = 4096
LARGEST_NUMBER = 2**63
MOST_UNITS = 10_000_000


class _MisfitError(Exception):
    """A value that does not fit its field; `place` grows on the way up."""

    def __init__(self, reason: str, place: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.place = place


def read(source: str | Path) -> Result[None]:
    """The result, without its model, that is in JSON text or in the file at a path.

    Raises:
        FileError: it cannot be read, is not JSON, or is not a result.
    """
    return _read(source, "result", lambda data: _checked(_record(Result)({**data, "model": None})))


def read_comparison(source: str | Path) -> Comparison:
    """The comparison that is in JSON text or in the file at a path.

    Raises:
        FileError: it cannot be read, is not JSON, or is not a comparison.
    """
    return _read(source, "comparison", _record(Comparison))


def read_trial(source: str | Path) -> tuple[Trial, Any]:
    """What became of a cell, from a file that holds it, and the plan beside it as plain data.

    Raises:
        FileError: it cannot be read, is not JSON, or is no such thing.
    """
    return _read(source, "cell", lambda data: (_record(Trial)(data.get("trial")), data.get("plan")))


def _read(source: str | Path, kind: str, reader: Callable[[dict[str, Any]], Read]) -> Read:
    """What a reader makes of the data in JSON text or in the file at a path."""
    place, text = _text(source, kind)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{place}: not JSON ({error}); give {_ORIGINS[kind]}.") from error
    found = data.pop("format", None) if isinstance(data, dict) else None
    if found != FORMAT or isinstance(found, bool):
        raise FileError(f"{place}: not a {kind} of format {FORMAT}; give a {kind}.json that this version wrote.")
    try:
        return reader(data)
    except _MisfitError as misfit:
        where = misfit.place.removeprefix(".") or f"the {kind}"
        raise FileError(f"{place}: {where}: {misfit.reason}; the file is damaged or not a {kind}.json.") from misfit


def _text(source: str | Path, kind: str) -> tuple[str, str]:
    """Where the text comes from, and the text; a string that opens a JSON value, or is no path, is the text itself."""
    if isinstance(source, str) and (source.lstrip()[:1] in ("{", "[") or len(source) > LONGEST_PATH):
        return kind, source
    place = str(source)[:200]
    try:
        with reading(source) as path:
            return place, path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # a path that cannot be one, or bytes that are not text
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileError(f"{place!r}: not a text file ({reason}); give {_ORIGINS[kind]}.") from error


def _checked(result: Result[None]) -> Result[None]:
    """The result, if what the types do not say holds: there is an original, and units are numbers of existing units."""
    if not result.steps:
        raise _MisfitError("holds no step, not even the original", "steps")
    if sum(before for before, _ in result.widths.values()) > MOST_UNITS:
        raise _MisfitError(f"more than {MOST_UNITS:,} units", "widths")
    for number, block in enumerate(result.blocks):
        _check_block(block, number)
    for number, one in enumerate(result.rounds):
        _check_round(one, number)
    return result


def _check_round(one: Round, number: int) -> None:
    for edit in one.plan.edits:
        wrong = [removal.unit for removal in edit.removed if not 0 <= removal.unit < edit.units <= MOST_UNITS]
        if wrong:
            raise _MisfitError(f"unit {wrong[0]} of {edit.units}", f"rounds[{number}], site {edit.site!r}")
    for scored in one.scores:
        wrong = [unit for unit in scored.removed if not 0 <= unit < len(scored.scores)]
        if wrong:
            reason = f"unit {wrong[0]} of {len(scored.scores)} scores"
            raise _MisfitError(reason, f"rounds[{number}], site {scored.site!r}")


def _check_block(block: Block, number: int) -> None:
    if min(block.before, block.after) < 0:
        raise _MisfitError("less than no channels", f"blocks[{number}]")
    if not all(0 <= source < number for source in block.inputs):
        raise _MisfitError("reads blocks that do not come before it", f"blocks[{number}]")


def _reader(kind: Any) -> Reader:
    """What turns a JSON value into a value of a type."""
    arguments = get_args(kind)
    if isinstance(kind, TypeVar) or kind is Any:
        return lambda value: value
    if is_dataclass(kind):
        return _layer if kind is LayerEdit else _record(kind)
    if kind == tuple["Plan", ...]:  # a plan's steps are plans
        return lambda value: _sequence(_record(Plan), value)
    if isinstance(kind, UnionType):
        return partial(_optional, _reader(arguments[0]))
    if get_origin(kind) is dict:
        return partial(_mapping, _reader(arguments[1]))
    if get_origin(kind) is tuple and arguments[-1] is ...:
        return partial(_sequence, _reader(arguments[0]))
    if get_origin(kind) is tuple:
        return partial(_together, tuple(_reader(argument) for argument in arguments))
    return partial(_plain, kind)


def _record(kind: Any) -> Reader:
    readers = {field.name: _reader(field.type) for field in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}

    def read_record(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _MisfitError(_expected("an object", value))
        if missing := sorted(needed - value.keys()):
            raise _MisfitError(f"{missing[0]!r} is missing")
        if unknown := sorted(value.keys() - readers.keys()):
            raise _MisfitError(f"{unknown[0]!r} is not a field of a {kind.__name__.lower()}")
        return kind(**{name: _at(f".{name}", readers[name], item) for name, item in value.items()})

    return read_record


def _layer(value: Any) -> LayerEdit:
    """What became of some layers: its changes are of several types, which the plan's own reader tells apart."""
    try:
        return layer_of(dict(value))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _MisfitError(f"no edit of layers ({error})") from error


def _at(place: str, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except _MisfitError as misfit:
        misfit.place = place + misfit.place
        raise


def _optional(reader: Reader, value: Any) -> Any:
    return None if value is None else reader(value)


def _mapping(reader: Reader, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _MisfitError(_expected("an object", value))
    return {key: _at(f".{key}", reader, item) for key, item in value.items()}


def _sequence(reader: Reader, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _MisfitError(_expected("a list", value))
    return tuple(_at(f"[{index}]", reader, item) for index, item in enumerate(value))


def _together(readers: tuple[Reader, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(readers):
        raise _MisfitError(_expected(f"a list of {len(readers)}", value))
    return tuple(_at(f"[{i}]", reader, item) for i, (reader, item) in enumerate(zip(readers, value, strict=True)))


def _plain(kind: type, value: Any) -> Any:
    """A number, a text or a truth value; a whole number may be written as a float and the other way round."""
    if type(value) is int and kind in (int, float):
        if abs(value) > LARGEST_NUMBER:
            raise _MisfitError(f"a number above {LARGEST_NUMBER:.0e}")
        return kind(value)
    if kind is int and type(value) is float and value.is_integer():
        return _plain(int, int(value))
    if type(value) is not kind:
        raise _MisfitError(_expected(kind.__name__, value))
    return value


def _expected(what: str, value: Any) -> str:
    return f"expected {what}, found {repr(value)[:60]}"
