"""The whole line in two loops: stages of a recipe, rounds of a stage."""

from secateur.pipeline.clocks import clocks_for
from secateur.pipeline.control import reinitialised, with_test
from secateur.pipeline.loops import compress, sites_of, walked
from secateur.pipeline.outcome import versions
from secateur.pipeline.progress import Place, Progress, Run

__all__ = [
    "Place",
    "Progress",
    "Run",
    "clocks_for",
    "compress",
    "reinitialised",
    "sites_of",
    "versions",
    "walked",
    "with_test",
]
