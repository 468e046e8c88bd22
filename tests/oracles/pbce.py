"""`pbce`: the scores of `obce` as published."""

from oracles.obce import score

__all__ = ["SETTINGS", "score"]
SETTINGS: dict[str, dict[str, object]] = {}
