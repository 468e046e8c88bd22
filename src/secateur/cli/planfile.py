"""`plan.json`: a plan in a file of its own."""

from pathlib import Path

from secateur.errors import FileError, PlanError
from secateur.files import reading
from secateur.plan import Cut, Edit, Plan, from_json


def read(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        FileError: it cannot be read, or is not a plan.
    """
    with reading(path) as source:
        try:
            plan = from_json(source.read_text(encoding="utf-8"))
        except (PlanError, UnicodeDecodeError) as error:
            raise FileError(f"{path}: {error}") from error
    if not all(map(_is_sound, plan.cuts)) or not all(map(_is_possible, plan.edits)):
        raise FileError(f"{path}: its units and entries are no numbers of existing ones; write it with `secateur plan`.")
    return plan


def _is_sound(cut: Cut) -> bool:
    numbers = (cut.axis, cut.length, *cut.removed)
    return isinstance(cut.tensor, str) and all(isinstance(number, int) and number >= 0 for number in numbers)


def _is_possible(edit: Edit) -> bool:
    units = [removal.unit for removal in edit.removed]
    whole = isinstance(edit.units, int) and all(isinstance(unit, int) for unit in units)
    return whole and all(0 <= unit < edit.units for unit in units)
