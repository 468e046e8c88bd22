"""How many multiply-adds an operator's call takes, from the shapes of what goes in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from secateur.counting.contraction import contraction
from secateur.counting.rows import Shape

Number = Fraction | int


@dataclass(frozen=True)
class Call:
    """One call of an operator: its arguments, with shapes in place of tensors, and the shape of what it gives."""

    args: tuple[Any, ...]
    shape: Shape


Rule = Callable[[Call], Number]


def linear(call: Call) -> Number:
    """Every entry that comes out sums up over the weight's [out, in] last axis."""
    return prod(call.shape) * call.args[1][-1]


def convolve(call: Call) -> Number:
    """Every entry that comes out sums up over one filter of the weight [out, in / groups, *kernel]."""
    return prod(call.shape) * prod(call.args[1][1:])


def convolve_transposed(call: Call) -> Number:
    """Every entry that goes in is spread out over one filter of the weight [in, out / groups, *kernel].

    Entries that padding cuts off are computed, and counted, all the same.
    """
    return prod(call.args[0]) * prod(call.args[1][1:])


def convolve_either(call: Call) -> Number:
    """A convolution whose seventh argument says whether it is transposed."""
    return convolve_transposed(call) if call.args[6] else convolve(call)


def multiply(call: Call) -> Number:
    """Every entry that comes out of a product sums up over the last axis of its first factor."""
    return prod(call.shape) * call.args[0][-1]


def multiply_and_add(call: Call) -> Number:
    """A product of the second and third argument [..., n, k] and [..., k, m], or [k]; where it sums over k, or more."""
    left, right = call.args[1], call.args[2]
    return prod(left) * (right[-1] if len(right) > 1 else 1)


def multiply_over(call: Call) -> Number:
    """A product over any axes: every entry that comes out sums up over the third argument's axes of the first."""
    return prod(call.shape) * prod(call.args[0][axis] for axis in call.args[2])


def attend(call: Call) -> Number:
    """Two products: queries [..., n, k] with keys [..., m, k], and the weights with values [..., m, d]."""
    query, key = call.args[0], call.args[1]
    return prod(call.shape[:-1]) * key[-2] * (query[-1] + call.shape[-1])


def contract(call: Call) -> Number:
    """An einsum, pair by pair."""
    return contraction(call.args[0], call.args[1])


PRODUCTS: dict[str, Rule] = {
    "linear": linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolve),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolve_transposed),
    **dict.fromkeys(("convolution", "_convolution"), convolve_either),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot"), multiply),
    **dict.fromkeys(("addmm", "addmv", "addbmm", "baddbmm"), multiply_and_add),
    "tensordot": multiply_over,
    "scaled_dot_product_attention": attend,
    "einsum": contract,
}
