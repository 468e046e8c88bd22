"""Methods under budgets on one model and task, on equal terms: what each combination gives, and which is best."""

from secateur.comparing.grid import Grid
from secateur.comparing.timing import timed
from secateur.comparing.trying import Subject, Tried, subject_of, try_cell
from secateur.comparing.whole import compare, concluded

__all__ = ["Grid", "Subject", "Tried", "compare", "concluded", "subject_of", "timed", "try_cell"]
