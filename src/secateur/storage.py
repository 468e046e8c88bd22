"""One file for a compressed model, and weights for a model from any file, without unpickling."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from secateur import checkpoints, tensorfile, width
from secateur.errors import FileError, ModelError, PlanError, SettingsError
from secateur.fitting import fill_, give_memory_, state_of, tie_, ties_of
from secateur.plan import Plan, from_json, to_json
from secateur.replay import replay_
from secateur.soundness import check_weights

# what a plan from a file can bring about on a model that it was not made for
_MISFIT = (PlanError, AttributeError, TypeError, ValueError, IndexError, KeyError, RuntimeError)


def save(model: nn.Module, path: str | Path, *, plan: Plan | None = None, builder: str | None = None) -> None:
    """Write a model's weights as safetensors, with its plan and its builder's name in the header; `load` reads it.

    Tied weights are written once. The file is written wholly or not at all.

    Raises:
        FileError: the place cannot be written, or the disk is full.
        ModelError: a tensor is complex, quantised, sparse or without values.
    """
    state = state_of(model)
    for name, tensor in state.items():
        _check_storable(name, tensor)
    ties = ties_of(state)
    tensors = {name: _packed(tensor) for name, tensor in state.items() if name not in ties}
    data = None if plan is None else json.loads(to_json(plan))
    tensorfile.write(tensors, ties, path, {"plan": data, "builder": builder})


def load(path: str | Path, *, build: Callable[[], nn.Module]) -> nn.Module:
    """The model in a file that `save` wrote: the original as `build` makes it, cut by the plan, with the saved weights.

    Modes and `requires_grad` are as built, dtypes and ties as saved. Without a plan, shapes that differ are taken from
    the file. To save time, `build` may make parameters (not buffers) on the meta device.

    Raises:
        FileError: the file is damaged, or was saved from a model that `build` does not make.
        SettingsError: `build` makes no module.
    """
    tensors, note = tensorfile.read(path)
    if note is None:
        raise FileError(f"{path}: holds plain weights, not what secateur.save writes; read it with load_weights.")
    model = build()
    if not isinstance(model, nn.Module):
        raise SettingsError(f"build: gave a {type(model).__name__}; give a callable that makes the original nn.Module.")
    remedy = f"is this the right builder{_named(note)}?"
    try:
        _shrink_(model, _plan(note, path), tensors)
        tie_(model, note["tensors"])
    except _MISFIT as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path}: its plan or shapes do not fit the model: {reason}; {remedy}") from error
    _retype_(model, tensors)
    fill_(model, _versioned(tensors, model), str(path), remedy)
    return model


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """A copy of a model with the weights of a file: safetensors, or a PyTorch pickle in which nothing is run.

    Pickles end in `.pt`, `.pth`, `.th`, `.ckpt` or `.tar`. Weights may be nested under `state_dict` or `model`, beside
    other things that a training leaves, with names that start in `module.`; they take the model's dtypes.

    Raises:
        FileError: the file is damaged, holds code, or does not fit the model.
        ModelError: weights are NaN or infinite.
    """
    tensors = checkpoints.read(path)
    loaded = width.copied(model)
    give_memory_(loaded)
    fill_(loaded, tensors, str(path), "is this the right model for these weights?" + _if_cut(path))
    try:
        check_weights(loaded)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return loaded


def read_plan(path: str | Path) -> Plan | None:
    """The plan in a file's header, without reading the tensors; None where it has none.

    Raises:
        FileError: the file is damaged, or no safetensors file.
    """
    note = tensorfile.read_note(path)
    return _plan(note, path) if note else None


def read_builder(path: str | Path) -> str | None:
    """The builder's name in a file's header, without reading the tensors; None where it has none.

    Raises:
        FileError: the file is damaged, or no safetensors file.
    """
    note = tensorfile.read_note(path)
    return str(note["builder"]) if note and note.get("builder") is not None else None


def _check_storable(name: str, tensor: Tensor) -> None:
    kinds = {
        "complex": tensor.is_complex(),
        "quantised": tensor.is_quantized,
        f"{tensor.layout}": tensor.layout is not torch.strided,
        f"{type(tensor).__name__}": type(tensor) not in (Tensor, nn.Parameter),
    }
    found = [kind for kind, holds in kinds.items() if holds]
    if found:
        raise ModelError(f"{name}: {found[0]} tensors cannot be stored; turn it into plain dense real tensors first.")


def _packed(tensor: Tensor) -> Tensor:
    """A dense copy on the CPU with memory of its own."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _plan(note: tensorfile.Note, path: str | Path) -> Plan | None:
    if note.get("plan") is None:
        return None
    try:
        return from_json(json.dumps(note["plan"]))
    except PlanError as error:
        raise FileError(f"{path}: {error}") from error


def _shrink_(model: nn.Module, made: Plan | None, tensors: Mapping[str, Tensor]) -> None:
    if made is not None:
        try:
            replay_(model, made)
        except ModelError as error:  # another forward than that whose calls the plan tells apart
            raise PlanError(str(error)) from error
    give_memory_(model)
    if made is not None:
        return
    own = state_of(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if any(name in own and tuple(own[name].shape) != shape for name, shape in shapes.items()):
        width.resize_(model, shapes)


def _retype_(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the model's tensors the dtypes that the file has: a model saved in half precision comes back so."""
    for name, tensor in state_of(model).items():
        saved = tensors.get(name)
        if (
            saved is not None
            and saved.is_floating_point() == tensor.is_floating_point()
            and saved.dtype != tensor.dtype
        ):
            tensor.data = tensor.data.to(saved.dtype)


def _versioned(tensors: Mapping[str, Tensor], model: nn.Module) -> OrderedDict[str, Tensor]:
    """The tensors with the versions of the modules that wrote them, by which PyTorch tells old weights from new."""
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    return state


def _named(note: tensorfile.Note) -> str:
    return f" (saved with {note['builder']!r})" if note.get("builder") is not None else ""


def _if_cut(path: str | Path) -> str:
    is_ours = Path(path).suffix.lower() == ".safetensors" and read_plan(path) is not None
    return " They are of a cut model: read them with secateur.load." if is_ours else ""
