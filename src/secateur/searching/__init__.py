"""The best network under a budget: what is cut, and where, searched for over a cheap stand-in for the whole line."""

from secateur.searching.bench import prepared
from secateur.searching.candidates import Style, Workshop
from secateur.searching.exploring import Effort, search, searched
from secateur.searching.goal import Goal
from secateur.searching.outcome import Found, Tried

__all__ = ["Effort", "Found", "Goal", "Style", "Tried", "Workshop", "prepared", "search", "searched"]
