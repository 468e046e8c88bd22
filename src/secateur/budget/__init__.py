"""How much goes, and which units that means: scores and a budget in, a plan out."""

from secateur.budget.amounts import Below, Budget, Count, Latency, Macs, Params, Share, parse, parse_latency
from secateur.budget.choice import select
from secateur.budget.chosen import choices_of, plan_of_layers
from secateur.budget.layers import Become, Choice, select_layers
from secateur.budget.outcome import Cost, cost, plan_of

__all__ = [
    "Become",
    "Below",
    "Budget",
    "Choice",
    "Cost",
    "Count",
    "Latency",
    "Macs",
    "Params",
    "Share",
    "choices_of",
    "cost",
    "parse",
    "parse_latency",
    "plan_of",
    "plan_of_layers",
    "select",
    "select_layers",
]
