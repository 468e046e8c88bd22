"""How much goes: the budgets, and the amounts people write."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from secateur.errors import SettingsError

AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([%kmg]?)", re.IGNORECASE)
LATENCY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(x|%|ms|)", re.IGNORECASE)
FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9}


@dataclass(frozen=True)
class Share:
    """The share of the units that goes, rounded to the nearest unit: at every site alike, or over the whole model."""

    ratio: float
    of: Literal["site", "model"] = "site"

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise SettingsError(f"Share: the ratio is {self.ratio}; give the share to remove, above 0 and below 1.")
        if self.of not in ("site", "model"):
            raise SettingsError(f"Share: of is {self.of!r}; give 'site' or 'model'.")


@dataclass(frozen=True)
class Count:
    """How many units go: at every site alike, or by the site's name (sites not named lose none)."""

    units: int | Mapping[str, int]

    def __post_init__(self) -> None:
        if isinstance(self.units, Mapping):
            for site, units in self.units.items():
                if units < 0:
                    raise SettingsError(f"Count: {units} units at {site}; give 0 or more.")
        elif self.units < 1:
            raise SettingsError(f"Count: {self.units} units; give at least 1.")


@dataclass(frozen=True)
class Below:
    """Units whose score is at most a threshold go; `relative` means times the site's largest score."""

    threshold: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not isfinite(self.threshold):
            raise SettingsError(f"Below: the threshold is {self.threshold}; give a finite number.")
        if self.relative and not 0 <= self.threshold < 1:
            raise SettingsError(f"Below: the relative threshold is {self.threshold}; give at least 0 and below 1.")


@dataclass(frozen=True)
class Params:
    """How many parameters may be left: a float up to 1 is a share of the original, an int a number."""

    limit: float | int

    def __post_init__(self) -> None:
        _check_limit("Params", self.limit)


@dataclass(frozen=True)
class Macs:
    """How many multiply-adds per example may be left: a float up to 1 is a share of the original, an int a number."""

    limit: float | int

    def __post_init__(self) -> None:
        _check_limit("Macs", self.limit)


@dataclass(frozen=True)
class Latency:
    """How long a call may take, as predicted: a share of the original's time (`unit` "x"), or milliseconds ("ms").

    It is of calls with so many rows, on so many torch threads.
    """

    limit: float
    unit: Literal["x", "ms"] = "x"
    batch_size: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        if self.unit not in ("x", "ms"):
            raise SettingsError(f"Latency: the unit is {self.unit!r}; give 'x' for a share of the original, or 'ms'.")
        if not 0 < self.limit < inf or (self.unit == "x" and self.limit > 1):
            most = f" and up to 1, or a time, such as {self.limit:g}ms" if self.unit == "x" else ", such as 4.0"
            what = "the share left" if self.unit == "x" else "the number of milliseconds"
            raise SettingsError(f"Latency: {what} is {self.limit}; give a number above 0{most}.")
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise SettingsError(f"Latency: {name} is {getattr(self, name)}; give at least 1.")


Budget = Share | Count | Below | Params | Macs | Latency


def parse(text: str) -> float | int:
    """The amount in a text: `"40%"` and `"0.4"` are shares (float), `"2M"`, `"1.5k"` and `"300"` numbers (int).

    Raises:
        SettingsError: the text is no such amount.
    """
    found = AMOUNT.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is not an amount; write a share as 40% or 0.4, a number as 300, 20k, 2M or 1G.")
    digits, unit = found[1], found[2].lower()
    if unit == "%":
        return float(digits) / 100
    if unit:
        return round(float(digits) * FACTORS[unit])
    return float(digits) if "." in digits else int(digits)


def parse_latency(text: str) -> tuple[float, Literal["x", "ms"]]:
    """The limit in a text and its unit: `"0.6x"`, `"0.6"` and `"60%"` are shares, `"12ms"` is milliseconds.

    Raises:
        SettingsError: the text is no such limit.
    """
    found = LATENCY.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is not a latency; write a share of the original's as 0.6x, or a time as 12ms.")
    number, unit = float(found[1]), found[2].lower()
    if unit == "ms":
        return number, "ms"
    return (number / 100 if unit == "%" else number), "x"


def _check_limit(budget: str, limit: float | int) -> None:
    if isinstance(limit, float) and not 0 < limit <= 1:
        raise SettingsError(
            f"{budget}: the share left is {limit}; give a float above 0 and up to 1, or a whole number."
        )
    if limit < 1 and not isinstance(limit, float):
        raise SettingsError(f"{budget}: {limit} may be left; give at least 1, or a share such as 0.5.")
