"""The whole line in two loops: stages of a recipe, rounds of a stage."""

from secateur.pipeline.control import reinitialised
from secateur.pipeline.loops import compress
from secateur.pipeline.progress import Place, Progress

__all__ = ["Place", "Progress", "compress", "reinitialised"]
