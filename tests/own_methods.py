"""A user's file with a method of their own, and with what only looks like one."""

FILE = """
from dataclasses import dataclass

from secateur import weights
from secateur.scores import Scores


@dataclass(frozen=True)
class Norms:
    power: int = 2
    name = "norms"
    granularity = "unit"

    def score(self, model, sites, task):
        rows = {site.name: weights.making(model, site) for site in sites}
        return Scores(self.name, {name: row.double().norm(self.power, dim=1) for name, row in rows.items()})


@dataclass(frozen=True)
class Nameless:
    granularity = "unit"

    def score(self, model, sites, task):
        return None


@dataclass(frozen=True)
class Needy:
    power: int
    name = "needy"
    granularity = "unit"


@dataclass(frozen=True)
class Failing:
    name = "failing"
    granularity = "unit"

    def __post_init__(self):
        raise KeyError("nothing here")


class Plain:
    pass
"""
