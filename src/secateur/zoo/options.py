"""Options of a model, read from text by the type of the setting."""

from collections.abc import Callable, Mapping
from typing import Any

from secateur.errors import SettingsError

SWITCHES = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read(type_: Any, value: Any, place: str) -> Any:
    """The value of a setting of this type; what is not text is taken as it is, but for lists, which become tuples.

    Raises:
        SettingsError: the text is not of that type.
    """
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    reader, wanted = READERS[type_]
    try:
        return reader(value)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{place}={value!r}; it must be {wanted}.") from error


def _switch(text: str) -> bool:
    return SWITCHES[text.lower()]


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(",")) if text.strip() else ()


READERS: Mapping[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    int | None: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_switch, "0 or 1"),
    str: (str, "text"),
    str | None: (str, "text"),
    tuple[int, ...]: (_widths, "whole numbers with commas between, such as 256,256"),
}
