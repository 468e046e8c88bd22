"""The memory that a call takes, seen from below: every operator's results are watched until they are gone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Watch(TorchDispatchMode):
    """Notes the most bytes that are alive at once, of the given tensors and of what operators give."""

    def __init__(self, given: list[Tensor], own: list[Tensor]):
        super().__init__()
        self.own = {StorageWeakRef(tensor.untyped_storage()) for tensor in own}
        self.alive: dict[StorageWeakRef, int] = {}
        self.peak = 0
        self.note(given)

    def note(self, values: Any) -> None:
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if (seen := StorageWeakRef(storage)) not in self.own:
                    self.alive[seen] = storage.nbytes()
        self.alive = {seen: size for seen, size in self.alive.items() if not seen.expired()}
        self.peak = max(self.peak, sum(self.alive.values()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        self.note(given)
        return given


def peak_bytes(call: Callable[..., Any], arguments: tuple[Tensor, ...], model: torch.nn.Module) -> int:
    """The most bytes alive at once during a call, weights left out."""
    with torch.no_grad(), Watch(list(arguments), [*model.parameters(), *model.buffers()]) as watch:
        call(*arguments)
    return watch.peak
