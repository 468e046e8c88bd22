"""What differs between the settings of an earlier run and those of this one."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first thing that differs between an earlier run and this one, with both values; None where nothing does."""
    old, new = dict(_leaves(before)), dict(_leaves(json.loads(json.dumps(now))))
    for name in dict.fromkeys((*new, *old)):
        if old.get(name) != new.get(name):
            there, here = (_short(values.get(name)) for values in (old, new))
            return f"{name} {there}, this command {here}"
    return None


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in nested settings, by a name such as `recipe.stage.0.share`."""
    match value:
        case dict():
            for key, part in value.items():
                yield from _leaves(part, f"{name}.{key}".lstrip("."))
        case list():
            for number, part in enumerate(value):
                yield from _leaves(part, f"{name}.{number}")
        case _:
            yield name, value


def _short(value: Any) -> str:
    text = "none" if value is None else f"{value}"
    return text if len(text) <= 40 else f"{text[:12]}…"
