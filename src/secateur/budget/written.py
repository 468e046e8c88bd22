"""Budgets as settings, the way recipes and the command line write them."""

from collections.abc import Mapping
from typing import Any

from secateur.budget.amounts import Below, Budget, Count, Latency, Macs, Params, Share, parse, parse_latency
from secateur.errors import SettingsError

BUDGETS = ("share", "count", "below", "params", "macs", "latency")


def budget_of(settings: Mapping[str, Any]) -> Budget | None:
    """The one budget among settings `share`, `count`, `below`, `params`, `macs`, `latency`, with what goes with it.

    That is `of` with a share, `relative` with `below`, `batch_size` and `threads` with a latency.

    Raises:
        SettingsError: there are two, or an amount is none, or is out of range.
    """
    given = [name for name in BUDGETS if settings.get(name) is not None]
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)} are given; a stage has one budget.")
    if not given:
        return None
    value = settings[given[0]]
    if given[0] == "latency":
        return _latency(value, settings)
    return _amount_of(given[0], parse(value) if isinstance(value, str) else value, settings)


def settings_of(budget: Budget) -> dict[str, Any]:
    """The settings that `budget_of` reads as a budget."""
    match budget:
        case Share(ratio, of):
            return {"share": ratio, "of": of}
        case Count(units):
            return {"count": dict(units) if isinstance(units, Mapping) else units}
        case Below(threshold, relative):
            return {"below": threshold, "relative": relative}
        case Params(limit):
            return {"params": limit}
        case Macs(limit):
            return {"macs": limit}
        case Latency(limit, unit, batch_size, threads):
            written = limit if unit == "x" else f"{limit!r}ms"
            return {"latency": written, "batch_size": batch_size, "threads": threads}


def _amount_of(name: str, amount: Any, settings: Mapping[str, Any]) -> Budget:
    match name:
        case "share":
            return Share(float(amount), settings.get("of") or "site")
        case "count":
            counts = amount.values() if isinstance(amount, Mapping) else [amount]
            if not all(isinstance(count, int) for count in counts):
                raise SettingsError(f"count is {amount!r}; give a whole number of units, or one for each site.")
            return Count(amount)
        case "below":
            return Below(float(amount), bool(settings.get("relative", False)))
        case "params":
            return Params(amount)
    return Macs(amount)


def _latency(value: str | float, settings: Mapping[str, Any]) -> Latency:
    limit, unit = parse_latency(value) if isinstance(value, str) else (float(value), "x")
    return Latency(limit, unit, settings.get("batch_size") or 1, settings.get("threads") or 1)
