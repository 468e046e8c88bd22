"""`secateur methods`."""

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from secateur.cli.screen import Screen
from secateur.cli.tables import table

_PAPER = re.compile(r"\[(arXiv [^\]]+)\]\((https?://[^)]+)\)")
_MARKUP = re.compile(r"[:.,]?\s*\$.*|`", re.DOTALL)


def methods(screen: Screen) -> None:
    r"""The methods that score units or layers, and their settings.

    A method only says how important each unit, or each activation, is; what goes is chosen by a budget (--remove,
    --params, …), and how it goes is surgery's. Settings are given as --set NAME=VALUE.

    Example:
      secateur methods
      secateur score --method dense --set measure=weighted \
        --model "zoo:mlp?hidden=64,64" --data sklearn:digits --out scores.json
    """
    from secateur import methods as known

    found = [_described(known.get(name)) for name in known.names()]
    rows = ((m["name"], m["granularity"], m["scores"], "yes" if m["needs_data"] else "no", m["paper"]) for m in found)
    columns = ("Method", "Of each", "What it scores", "Data", "Paper")
    adjustable = ((m["name"], _settings(m)) for m in found if m["settings"])
    settings = table("Settings (--set NAME=VALUE)", ("Method", "Settings and their defaults"), adjustable, whole=(0,))
    screen.show(found, table("Methods", columns, rows, whole=(0,)), settings)


def _described(method: Any) -> dict[str, Any]:
    from secateur.scores import Observing, Trying

    text = inspect.getdoc(type(method)) or ""
    paper = _PAPER.search(text)
    return {
        "name": method.name,
        "scores": _MARKUP.sub("", text.split("\n\n")[0]).strip().rstrip("."),
        "granularity": method.granularity,
        "needs_data": isinstance(method, Observing) or (isinstance(method, Trying) and method.needs_data),
        "paper": paper[1] if paper else "",
        "link": paper[2] if paper else "",
        "settings": [_setting(field, get_type_hints(type(method))[field.name]) for field in fields(method)],
    }


def _setting(field: Any, hint: Any) -> dict[str, Any]:
    options = list(get_args(hint)) if get_origin(hint) is Literal else []
    default = None if field.default is MISSING else field.default
    return {"name": field.name, "default": default, "values": options or [getattr(hint, "__name__", str(hint))]}


def _settings(method: dict[str, Any]) -> str:
    """Each setting with its default, and what else it may be."""
    return "\n".join(f"{s['name']}={s['default']}{_others(s)}" for s in method["settings"])


def _others(setting: dict[str, Any]) -> str:
    others = [str(value) for value in setting["values"] if value != setting["default"]]
    return f" (or {', '.join(others)})" if len(setting["values"]) > 1 else ""
