"""`pbce`: the scores of `obce`."""

from oracles.obce import SETTINGS, entropy, median, score, total

__all__ = ["SETTINGS", "entropy", "median", "score", "total"]
