"""Settings of a recovery as plain data, as a recipe's file holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from secateur.errors import SettingsError, UnknownNameError
from secateur.recovery.settings import Recovery


def recovery_of(data: Any) -> Recovery:
    """Settings of a recovery: a table, or just the number of epochs."""
    if isinstance(data, int):
        return Recovery(epochs=data)
    known = [f.name for f in fields(Recovery) if f.name != "teacher"]
    check_keys("recover", data, known)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Recovery(**values)


def recovery_data(recovery: Recovery) -> dict[str, Any]:
    """A recovery as plain data that `recovery_of` reads; the teacher, and what is None, are left out."""
    values = {f.name: getattr(recovery, f.name) for f in fields(recovery) if f.name != "teacher"}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v is not None}


def check_keys(table: str, data: Any, known: Sequence[str]) -> None:
    """Refuse what is no table, or holds an unknown setting.

    Raises:
        SettingsError: it is one of these.
    """
    if not isinstance(data, Mapping):
        raise SettingsError(f"[{table}] is {data!r}; give a table of settings.")
    for key in data:
        if key not in known:
            raise UnknownNameError(f"setting in [{table}]", key, known)
