"""What an einsum costs: pair by pair from the left, as torch contracts where nobody tells it a better order."""

import string
from collections.abc import Sequence
from fractions import Fraction
from math import prod

from secateur.counting.rows import Shape

Labelled = dict[str, Fraction]


def contraction(equation: str, shapes: Sequence[Shape]) -> Fraction | int:
    """The multiply-adds of an einsum."""
    operands, output = _labelled(equation, shapes)
    total: Fraction | int = 0
    left = operands[0]
    for place, right in enumerate(operands[1:], 1):
        needed = set(output).union(*operands[place + 1 :])
        cost, left = _pair(left, right, needed)
        total += cost
    return total


def _pair(left: Labelled, right: Labelled, needed: set[str]) -> tuple[Fraction | int, Labelled]:
    """What multiplying two operands costs, and the labels that are left.

    A label that only one of them has, and nobody needs, is summed up beforehand; without a label to sum over, nothing
    is added up, and the product is one of entries.
    """
    both = {label: max(left.get(label, 0), right.get(label, 0)) for label in (*left, *right)}
    summed = (set(left) & set(right)) - needed
    kept = {label: Fraction(size) for label, size in both.items() if label in needed}
    return prod(both[label] for label in (*kept, *summed)) if summed else 0, kept


def _labelled(equation: str, shapes: Sequence[Shape]) -> tuple[list[Labelled], str]:
    """Every operand's labels with their sizes, and the output's labels; dots become labels that nobody has used."""
    terms, arrow, output = equation.replace(" ", "").partition("->")
    unused = "".join(letter for letter in string.printable if letter not in equation)
    named = [_spelled(term, len(shape), unused) for term, shape in zip(terms.split(","), shapes, strict=True)]
    dots = max((dots for _, dots in named), key=len)
    operands = [dict(zip(labels, shape, strict=True)) for (labels, _), shape in zip(named, shapes, strict=True)]
    if not arrow:
        once = (letter for letter in set(terms) - set(".,") if terms.count(letter) == 1)
        output = "..." + "".join(sorted(once))
    return operands, output.replace("...", dots)


def _spelled(term: str, axes: int, unused: str) -> tuple[str, str]:
    """A term with its dots written out, and what they became: labels from the right, as axes are broadcast."""
    hidden = axes - len(term.replace("...", ""))
    dots = unused[:hidden][::-1]
    return term.replace("...", dots), dots
