"""Which modules a model calls with one tensor and gets one from: in their place another of that kind can stand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from secateur.inference import evaluating
from secateur.tracing import Example, arguments_of_example


def one_to_one(model: nn.Module, example: Example) -> frozenset[str]:
    """The paths of the modules that are called, on an example, with one tensor and nothing else, and give one."""
    found: dict[str, bool] = {}
    with evaluating(model) as predict, _watched(model, found):
        predict(arguments_of_example(example))
    return frozenset(path for path, holds in found.items() if holds)


@contextmanager
def _watched(model: nn.Module, found: dict[str, bool]) -> Iterator[None]:
    """Within, every module's calls are noted: whether all were of one tensor to one."""
    modules = dict(model.named_modules(remove_duplicate=False))
    handles = [
        module.register_forward_hook(partial(_note, found, path), with_kwargs=True) for path, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _note(
    found: dict[str, bool], path: str, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
) -> None:
    is_one = not kwargs and len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor)
    found[path] = is_one and found.get(path, True)
