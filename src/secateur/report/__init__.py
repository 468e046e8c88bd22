"""One HTML page from the JSON of a result."""

from secateur.report.writing import write

__all__ = ["write"]
