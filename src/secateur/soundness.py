"""What keeps a model or an example from being followed at all, said before anything is traced."""

from collections.abc import Iterator
from itertools import chain, combinations, groupby
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from secateur.errors import DataError, ModelError
from secateur.task import Arguments, not_finite

_QUANTISED = (
    *("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized"),
    *("torch.ao.nn.qat", "torch.ao.nn.intrinsic.qat"),
    *("torch.ao.quantization.observer", "torch.ao.quantization.fake_quantize"),
)


def check_model(model: nn.Module) -> None:
    """Refuse what cannot be cut, or not without changing what it is: scripted, quantised, without values, overlapping.

    Raises:
        ModelError: names the first such module or tensor.
    """
    check_modules(model)
    check_weights(model)
    check_memory(model)


def check_modules(model: nn.Module) -> None:
    """Refuse scripted and quantised modules.

    Raises:
        ModelError: names the first such module.
    """
    for name, module in model.named_modules():
        place = name or type(model).__name__
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{place}: is a TorchScript module; cut the Python model it was made of, then script that."
            )
        if any(_is_quantised(kind) for kind in type(module).__mro__):
            kind = type(module).__name__
            raise ModelError(f"{place}: is quantised, or prepared for it ({kind}); cut the model first, then quantise.")


def check_weights(model: nn.Module) -> None:
    """Refuse weights that are NaN or infinite, that have no values yet, or that stand for others.

    Raises:
        ModelError: names the first such tensor.
    """
    for name, tensor in _tensors(model):
        if nn.parameter.is_lazy(tensor) or tensor.is_meta:
            raise ModelError(f"{name}: has no values yet; run the model once, on a device other than meta, first.")
        if _is_wrapper(tensor):
            kind = type(tensor).__name__
            raise ModelError(f"{name}: is a {kind}, which stands for other tensors; cut the model before it is made.")
        if bad := _bad(tensor):
            raise ModelError(f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; train the model anew.")


def check_memory(model: nn.Module) -> None:
    """Refuse parameters that share memory without being one parameter: a cut would part them without a word.

    Raises:
        ModelError: names the first two.
    """
    held = [(p.untyped_storage().data_ptr(), name, p) for name, p in model.named_parameters() if p.numel()]
    for _, sharing in groupby(sorted(held, key=lambda one: one[0]), key=lambda one: one[0]):
        for (_, one, first), (_, other, second) in combinations(sharing, 2):
            if _overlap(first, second):
                raise ModelError(
                    f"{other}: shares its memory with {one}, but is another parameter; make them one "
                    f"(model.{other} = model.{one}), or give it memory of its own."
                )
    for _, name, parameter in held:
        if any(stride == 0 and size > 1 for stride, size in zip(parameter.stride(), parameter.shape, strict=True)):
            raise ModelError(
                f"{name}: {parameter.numel()} entries that are one in memory (expanded); give each its own "
                "(contiguous())."
            )


def check_inputs(model: nn.Module, arguments: Arguments) -> None:
    """Refuse inputs without entries, or that are NaN.

    Raises:
        DataError: says which input it is.
    """
    place = type(model).__name__
    for number, tensor in enumerate(leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, Tensor)):
        if not tensor.numel():
            shape = list(tensor.shape)
            raise DataError(f"{place}: input {number} of the example has shape {shape}; give it at least one row.")
        if tensor.is_floating_point() and (bad := int(tensor.isnan().sum())):
            found = f"{bad} of {tensor.numel()} values of input {number} of the example are NaN"
            raise DataError(f"{place}: {found}; clean the data first.")


def baked(model: nn.Module) -> str:
    """How to free a model of weights that are computed from others; nothing, if there are none."""
    for name, module in model.named_modules():
        if is_parametrized(module):
            what = next(iter(module.parametrizations))
            call = f'torch.nn.utils.parametrize.remove_parametrizations(model.{name}, "{what}")'
            return f" {name}.{what} is computed by a parametrization; bake it in first: {call}."
    return ""


def described(arguments: Arguments) -> str:
    """Types and shapes of arguments, such as `float32 [5, 7]`; of keyword arguments by name."""

    def one(value: Any) -> str:
        if isinstance(value, Tensor):
            return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        return f"a {type(value).__name__}"

    args, kwargs = arguments
    named = [f"{name}={one(value)}" for name, value in kwargs.items()]
    return ", ".join([*map(one, args), *named]) or "nothing"


def _is_quantised(kind: type) -> bool:
    return any(kind.__module__ == name or kind.__module__.startswith(f"{name}.") for name in _QUANTISED)


def _bad(tensor: Tensor) -> int:
    """How many entries are NaN, or infinite in a parameter: a buffer may be a mask of infinities."""
    if isinstance(tensor, nn.Parameter):
        return not_finite(tensor)
    return int(tensor.isnan().sum()) if tensor.is_floating_point() else 0


def _is_wrapper(tensor: Any) -> bool:
    """Whether a tensor holds no values, but other tensors: quantised, or spread over machines."""
    return is_traceable_wrapper_subclass(tensor)


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Whether an entry of one is an entry of the other, of two tensors on one storage."""
    one, other = _extent(first), _extent(second)
    if one[0] > other[1] or other[0] > one[1]:
        return False
    places = torch.arange(max(one[1], other[1]) + 1)
    ours, theirs = (places.as_strided(t.shape, t.stride(), t.storage_offset()).flatten() for t in (first, second))
    return bool(torch.isin(ours, theirs).any())


def _extent(tensor: Tensor) -> tuple[int, int]:
    """The first and the last place in its storage."""
    first = int(tensor.storage_offset())
    return first, first + sum(int(s) * (int(n) - 1) for s, n in zip(tensor.stride(), tensor.shape, strict=True))
