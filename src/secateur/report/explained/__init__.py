"""One HTML page from an explanation: which units matter, what they put out, and on which examples."""

from secateur.report.explained.writing import write

__all__ = ["write"]
