"""The best network under a budget: what is cut, and where, searched for over a cheap stand-in for the whole line."""

from secateur.searching.candidates import Style
from secateur.searching.exploring import Effort, search
from secateur.searching.goal import Goal
from secateur.searching.outcome import Found, Tried

__all__ = ["Effort", "Found", "Goal", "Style", "Tried", "search"]
