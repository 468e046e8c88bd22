"""Plain data as TOML, which Python reads but does not write."""

import json
from collections.abc import Mapping
from typing import Any


def written(data: Mapping[str, Any]) -> str:
    """The data as TOML text that `tomllib` reads back as equal; what it holds are the types that TOML knows.

    Lists of tables become `[[name]]`, tables in them inline ones.
    """
    plain = [f"{_key(key)} = {_value(value)}" for key, value in data.items() if not _is_tables(value)]
    return "\n".join([*plain, *(_tables(key, value) for key, value in data.items() if _is_tables(value))]) + "\n"


def _tables(key: str, tables: list[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"\n[[{_key(key)}]]\n" + "\n".join(f"{_key(name)} = {_value(value)}" for name, value in table.items())
        for table in tables
    )


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else _text(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return _text(value)
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _text(text: str) -> str:
    """A JSON string is a TOML one, but for the delete character, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
