"""What torch-pruning makes of one architecture with its defaults: `python -m compat.peer NAME` tells it as JSON.

Half the channels of every layer by group magnitude, the classifier ignored, as its README shows.
"""

import copy
import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch_pruning as tp
from torch import Tensor, nn

from compat.catalogue import Example, entries
from compat.judge import difference
from compat.running import limit_memory, say, timed
from compat.sight import call, open_eyes_
from compat.silence import UnknownNormError, silenced
from secateur.errors import first_line
from secateur.task import tensors_in

RATIO = 0.5
_Convs = nn.Conv1d | nn.Conv2d | nn.Conv3d


def main() -> None:
    """Judge one architecture."""
    limit_memory()
    torch.set_num_threads(1)
    record: dict[str, Any] = {"name": sys.argv[1]}
    entry = entries()[record["name"]]
    torch.manual_seed(0)
    model, example = entry.build().eval(), entry.example()
    open_eyes_(model, example)
    try:
        _judge(record, model, example)
    except Exception as error:  # noqa: BLE001  # whatever another library raises is its answer
        record |= {"status": "failed", "error": f"{type(error).__name__}: {first_line(error)}"}
    say(record)


def _judge(record: dict[str, Any], model: nn.Module, example: Example) -> None:
    original = copy.deepcopy(model)
    before = sum(p.numel() for p in model.parameters())
    record["status"] = "started"
    with timed() as seconds:
        tp.DependencyGraph().build_dependency(copy.deepcopy(model), example, verbose=False)
    record |= {"build_seconds": seconds.wall, "build_cpu_seconds": seconds.cpu}
    say(record)
    losses = Losses(model)
    with timed() as seconds:
        pruner = tp.pruner.BasePruner(
            model,
            example,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=RATIO,
            ignored_layers=classifiers(model, example),
        )
        for group in pruner.step(interactive=True):
            losses.note(group, pruner.DG)
            group.prune()
    record |= {"seconds": seconds.wall, "cpu_seconds": seconds.cpu}
    record["parameters_left"] = sum(p.numel() for p in model.parameters()) / before
    say(record)
    with torch.no_grad():
        call(model, example)
    record["status"] = "ok"
    record |= _exactness(model, original, losses, example)


def classifiers(model: nn.Module, example: Example) -> list[nn.Module]:
    """The layers that are as wide as the output has classes."""
    with torch.no_grad():
        answer = tensors_in(call(model, example))[0]
    classes = answer.shape[1] if answer.dim() == 4 else answer.shape[-1]
    wide = (nn.Linear, nn.Conv2d)
    if answer.dim() == 2 or classes == 21 or answer.shape[-1] > 10_000:
        return [m for m in model.modules() if isinstance(m, wide) and classes in (m.weight.shape[0],)]
    return []


def _exactness(model: nn.Module, original: nn.Module, losses: "Losses", example: Example) -> dict[str, Any]:
    if losses.unknown:
        return {"independent": None, "unchecked": f"layers of {', '.join(sorted(losses.unknown))}"}
    try:
        silent = silenced(original, losses.masks)
    except UnknownNormError as error:
        return {"independent": None, "unchecked": f"norm of class {error}"}
    found = difference(model, silent, example)
    if found > 1e-5:
        doubled = (
            {k: t.double() if t.is_floating_point() else t for k, t in example.items()}
            if isinstance(example, dict)
            else example.double()
        )
        found = difference(model.double(), silent.double(), doubled)
    return {"independent": found}


class Losses:
    """What torch-pruning removes, as masks over the original's parameters."""

    def __init__(self, model: nn.Module):
        self.masks: dict[str, Tensor] = {}
        self.unknown: set[str] = set()
        self._names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
        self._shapes = {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)}
        self._left: dict[tuple[str, str], list[int]] = {}

    def note(self, group: Any, graph: Any) -> None:
        """Write down a group before it is pruned."""
        for item in group:
            module = item.dep.target.module
            if isinstance(module, nn.Parameter):
                self._note_parameter(graph._param_to_name[module], item)
            elif id(module) in self._names:
                self._note_module(self._names[id(module)], module, item, graph)

    def _note_parameter(self, name: str, item: Any) -> None:
        axis = item.dep.target.pruning_dim % len(self._shapes[name])
        self._mask(name).index_fill_(axis, self._gone(name, f"{axis}", self._shapes[name][axis], item.idxs), True)

    def _note_module(self, name: str, module: nn.Module, item: Any, graph: Any) -> None:
        is_conv = isinstance(module, _Convs | nn.ConvTranspose2d)
        if not (is_conv or isinstance(module, nn.Linear)):
            self._note_vector(name, module, item.idxs)
            return
        rows, columns = (1, 0) if isinstance(module, nn.ConvTranspose2d) else (0, 1)
        weight = self._mask(f"{name}.weight")
        is_depthwise = is_conv and weight.shape[columns] == 1 and module.groups > 1
        if is_depthwise or graph.is_out_channel_pruning_fn(item.dep.handler):
            gone = self._gone(name, "out", weight.shape[rows], item.idxs)
            weight.index_fill_(rows, gone, True)
            if f"{name}.bias" in self._shapes:
                self._mask(f"{name}.bias").index_fill_(0, gone, True)
        else:
            groups = module.groups if is_conv else 1
            gone = self._gone(name, "in", weight.shape[columns] * groups, item.idxs)
            for part, channel in _within_groups(gone, weight.shape[columns]):
                weight.chunk(groups, rows)[part].select(columns, channel).fill_(True)

    def _note_vector(self, name: str, module: nn.Module, idxs: list[int]) -> None:
        if isinstance(module, nn.Embedding):
            gone = self._gone(name, "out", self._shapes[f"{name}.weight"][1], idxs)
            self._mask(f"{name}.weight").index_fill_(1, gone, True)
            return
        shape = self._shapes.get(f"{name}.weight", ())
        if len(shape) != 1 or isinstance(module, nn.MultiheadAttention):
            self.unknown.add(type(module).__name__)
            return
        gone = self._gone(name, "out", shape[0], idxs)
        for tensor in (f"{name}.weight", f"{name}.bias"):
            if tensor in self._shapes:
                self._mask(tensor).index_fill_(0, gone, True)

    def _gone(self, name: str, side: str, length: int, idxs: list[int]) -> Tensor:
        """Indices into what is left, as indices into the original."""
        left = self._left.setdefault((name, side), list(range(length)))
        gone = sorted({left[i] for i in idxs})
        self._left[name, side] = [entry for entry in left if entry not in set(gone)]
        return torch.tensor(gone)

    def _mask(self, name: str) -> Tensor:
        if name not in self.masks:
            self.masks[name] = torch.zeros(self._shapes[name], dtype=torch.bool)
        return self.masks[name]


def _within_groups(gone: Tensor, size: int) -> Iterator[tuple[int, int]]:
    for channel in gone.tolist():
        yield channel // size, channel % size


if __name__ == "__main__":
    main()
