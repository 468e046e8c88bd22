"""A comparison as one HTML page, and as a sheet."""

from secateur.report.compared.sheet import sheet
from secateur.report.compared.writing import write

__all__ = ["sheet", "write"]
