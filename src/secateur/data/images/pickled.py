"""What a pickle file of plain data says, read as notation: nothing in it is looked up, called or run.

Only what CIFAR's Python batches need is understood: numbers, texts, bytes, lists, tuples, dicts, and NumPy's arrays of
bytes. A pickle is a program for a small machine with a stack; the steps of that machine stand here, without those that
import or call: a name stays a name, and what would be a call stays a `Call`.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from secateur.errors import DataError, FileError
from secateur.files import reading

RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
NAMES = (*RECONSTRUCT, "numpy ndarray", "numpy dtype", "_codecs encode")
_DAMAGED = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Name:
    """The name of something that is never looked up."""

    text: str


@dataclass
class Call:
    """What would be made by a call, and given a state; it is never made."""

    name: Name
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Machine:
    """Stack, marked places in it, and what is kept for later."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def marked(self) -> list[Any]:
        """All above the last mark, taken off."""
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def taken(self, count: int) -> tuple[Any, ...]:
        """So many from the top, in order."""
        return tuple(reversed([self.stack.pop() for _ in range(count)]))


class _ForbiddenError(Exception):
    """A name or step that plain data do not need."""


def read(path: Path) -> dict[str, Any]:
    """The dict in a pickle file, its keys as text and its arrays of bytes as arrays.

    Raises:
        DataError: the file is missing or damaged, or holds more than plain data.
    """
    try:
        with reading(path), path.open("rb") as file:
            content = _value(file)
            if not isinstance(content, dict):
                raise ValueError(f"holds a {type(content).__name__}")
            return {_text(key): _plain(value) for key, value in content.items()}
    except FileError as error:
        raise DataError(str(error)) from error
    except _ForbiddenError as error:
        raise DataError(
            f"{path}: holds {error}, which plain data do not need and which could run code, so nothing was run; "
            "get the original file."
        ) from error
    except _DAMAGED as error:
        raise DataError(f"{path}: damaged, or no batch of images ({str(error)[:80]}); get it again.") from error


def _value(file: BinaryIO) -> Any:
    machine = Machine()
    for opcode, argument, _ in pickletools.genops(file):
        step = STEPS.get(opcode.name)
        if step is None:
            raise _ForbiddenError(f"the step {opcode.name}")
        step(machine, argument)
    (value,) = machine.stack
    return value


def _name(machine: Machine, text: str) -> None:
    if text not in NAMES:
        raise _ForbiddenError(repr(text.replace(" ", "."))[:80])
    machine.stack.append(Name(text))


def _reduce(machine: Machine) -> None:
    name, arguments = machine.taken(2)
    if not isinstance(name, Name):
        raise _ForbiddenError(f"a call of {type(name).__name__}")
    match name.text, arguments:
        case "_codecs encode", (str(text), "latin1"):  # how Python 3 writes bytes for Python 2
            machine.stack.append(text.encode("latin-1"))
        case _:
            machine.stack.append(Call(name, tuple(arguments)))


def _build(machine: Machine) -> None:
    call, state = machine.taken(2)
    if not isinstance(call, Call):
        raise _ForbiddenError(f"a state for {type(call).__name__}")
    call.state = state
    machine.stack.append(call)


def _set(machine: Machine, pairs: list[Any]) -> None:
    machine.stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))


def _extend(machine: Machine, values: list[Any]) -> None:
    machine.stack[-1].extend(values)


def _push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def _collect(count: int) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(machine.taken(count))


STEPS: Mapping[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda *_: None),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _push),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE"), _push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, n: machine.memo.update({n: machine.stack[-1]})),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, n: machine.stack.append(machine.memo[n])),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": _collect(1),
    "TUPLE2": _collect(2),
    "TUPLE3": _collect(3),
    "APPEND": lambda machine, _: _extend(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, _: _extend(machine, machine.marked()),
    "SETITEM": lambda machine, _: _set(machine, list(machine.taken(2))),
    "SETITEMS": lambda machine, _: _set(machine, machine.marked()),
    "GLOBAL": _name,
    "STACK_GLOBAL": lambda machine, _: _name(machine, " ".join(map(_text, machine.taken(2)))),
    "REDUCE": lambda machine, _: _reduce(machine),
    "BUILD": lambda machine, _: _build(machine),
}


def _plain(value: Any) -> Any:
    """An array of bytes where one would be made; anything else as it is."""
    return _array(value) if isinstance(value, Call) and value.name.text in RECONSTRUCT else value


def _array(call: Call) -> UInt8[ndarray, "..."]:
    _, shape, dtype, by_column, content = call.state
    if dtype.arguments[0] != "u1" or by_column:
        raise ValueError("an array that is not of bytes in rows")
    return np.frombuffer(_bytes(content), dtype=np.uint8).reshape(shape)


def _bytes(value: Any) -> bytes:
    """Bytes as they are written: as such, or by Python 2 as text of as many letters."""
    if not isinstance(value, (bytes, str)):
        raise TypeError(f"a {type(value).__name__} instead of bytes")
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _bytes(value).decode("latin-1")
