"""Einsum as the matrix product, or the product of broadcast factors, that it is: so that its operands are followed."""

import string
from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Unfolded(TorchFunctionMode):  # torch asks for a class of this kind
    """While it is entered, einsum is done by products."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """The function's result."""
        if func is torch.einsum and isinstance(args[0], str) and not kwargs:
            operands = args[1] if isinstance(args[1], list | tuple) else args[1:]
            return by_products(args[0], list(operands))
        return func(*args, **(kwargs or {}))


def by_products(equation: str, operands: list[Tensor]) -> Tensor:
    """What einsum gives, by permute, reshape, sum and matmul; by einsum itself where an equation is of another form.

    Two operands without repeated letters are taken apart, with `...` as letters of its own: letters of both and of the
    output are a batch, letters of both alone are summed up.
    """
    terms = _terms(equation, [operand.dim() for operand in operands])
    if terms is None:
        return torch.einsum(equation, operands)
    (one, other), out = terms
    a, one = _summed(operands[0], one, other + out)
    b, other = _summed(operands[1], other, one + out)
    if any(a.shape[one.index(letter)] != b.shape[other.index(letter)] for letter in set(one) & set(other)):
        return torch.einsum(equation, operands)  # one entry for all
    batch = "".join(letter for letter in one if letter in other and letter in out)
    inner = "".join(letter for letter in one if letter in other and letter not in out)
    left, right = ("".join(letter for letter in letters if letter not in batch + inner) for letters in (one, other))
    if not inner:
        return _laid(a, one, out) * _laid(b, other, out)
    sizes = dict(zip(one + other, (*a.shape, *b.shape), strict=True))
    if not batch and len(inner) == len(right) == 1:  # as a linear layer does, whatever stands before
        found = a.permute(_order(one, left + inner)) @ b.permute(_order(other, inner + right))
    else:
        found = _merged(a, one, (batch, left, inner), sizes) @ _merged(b, other, (batch, inner, right), sizes)
        found = found.reshape([sizes[letter] for letter in batch + left + right])
    return found.permute(_order(batch + left + right, out))


def _terms(equation: str, dims: list[int]) -> tuple[list[str], str] | None:
    """The letters of both operands and of the output; None where the equation is of another form."""
    text = equation.replace(" ", "")
    given, _, out = text.partition("->")
    letters = given.split(",")
    if "->" not in text or len(letters) != 2 or len(dims) != 2:
        return None
    spare = "".join(letter for letter in string.ascii_letters if letter not in text)
    counts = [dim - len(term.replace("...", "")) for term, dim in zip(letters, dims, strict=True)]
    dots = spare[: max(counts)]
    letters = [term.replace("...", dots[len(dots) - n :]) for term, n in zip(letters, counts, strict=True)]
    out = out.replace("...", dots)
    if any(len(set(term)) != len(term) for term in (*letters, out)):
        return None
    return letters, out


def _summed(x: Tensor, letters: str, needed: str) -> tuple[Tensor, str]:
    """An operand without the letters that nothing else has, summed up."""
    lone = [place for place, letter in enumerate(letters) if letter not in needed]
    return (x.sum(lone) if lone else x), "".join(letter for letter in letters if letter in needed)


def _merged(x: Tensor, letters: str, parts: tuple[str, str, str], sizes: Mapping[str, Any]) -> Tensor:
    """An operand as [batch …, rows, columns]."""
    batch, rows, columns = parts
    x = x.permute(_order(letters, batch + rows + columns))
    if len(rows) == len(columns) == 1:
        return x
    return x.reshape([*(sizes[one] for one in batch), *(prod(sizes[one] for one in part) for part in (rows, columns))])


def _laid(x: Tensor, letters: str, out: str) -> Tensor:
    """An operand with its axes as in the output, of size one where it has none."""
    x = x.permute(_order(letters, "".join(letter for letter in out if letter in letters)))
    for place, letter in enumerate(out):
        if letter not in letters:
            x = x.unsqueeze(place)
    return x


def _order(letters: str, wanted: str) -> list[int]:
    return [letters.index(letter) for letter in wanted]
