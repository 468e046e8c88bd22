"""Options behind the ? of a data address."""

import math
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from secateur.errors import SettingsError, UnknownNameError


def options(scheme: str, query: str, known: Iterable[str]) -> dict[str, str]:
    """The options of `option=value&option=value` as written.

    Raises:
        UnknownNameError: the scheme has no such option.
        SettingsError: an option is given twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in known:
            raise UnknownNameError(f"option of {scheme}:", key, known)
        if key in found:
            raise SettingsError(f"{scheme}: {key}= is given twice; give it once, and write & inside a value as %26.")
        found[key] = unquote(value)
    return found


def switch(scheme: str, written: Mapping[str, str], key: str, *, default: bool) -> bool:
    """An option that is 0 or 1."""
    value = written.get(key, str(int(default)))
    if value not in ("0", "1"):
        raise SettingsError(f"{scheme}: {key}={value!r}; it must be 0 or 1.")
    return value == "1"


def whole(scheme: str, written: Mapping[str, str], key: str, least: int) -> int | None:
    """An option that is a whole number; None where it is not given."""
    value = written.get(key)
    if value is not None and not (value.isdecimal() and int(value) >= least):
        raise SettingsError(f"{scheme}: {key}={value!r}; it must be a whole number from {least} up.")
    return None if value is None else int(value)


def amount(scheme: str, written: Mapping[str, str], key: str) -> float | None:
    """An option that is a number from 0 up; None where it is not given."""
    value = written.get(key)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise SettingsError(f"{scheme}: {key}={value!r}; it must be a number from 0 up.")
    return number
