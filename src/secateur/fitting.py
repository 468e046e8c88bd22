"""Tensors of a file put into a module, or a refusal that says which do not fit."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from secateur.errors import FileError, ModelError

_PREFIX = "module."  # what nn.DataParallel puts before every name
_SHOWN = 3


def fill_(model: nn.Module, tensors: Mapping[str, Tensor], place: str, remedy: str) -> None:
    """Load tensors into a module in place, every one and no other; its dtypes, devices and modes stay.

    Raises:
        FileError: names are missing or unexpected, or shapes differ.
        ModelError: the module's own tensors have no values yet (meta device, lazy layers).
    """
    own = state_of(model)
    state = _unprefixed(tensors, own)
    misshapen = [name for name, tensor in own.items() if name in state and not _fits(state[name], tensor)]
    fitting = OrderedDict((name, tensor) for name, tensor in state.items() if name not in misshapen)
    fitting._metadata = getattr(state, "_metadata", None)  # type: ignore[attr-defined]
    _unfold_(own)
    try:
        found = model.load_state_dict(fitting, strict=False)
    except (RuntimeError, ValueError) as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{place}: does not fit the model: {last[:300]}; {remedy}") from error
    given = {_identity(own[name]) for name in state if name in own}
    missing = [name for name in found.missing_keys if name not in own or _identity(own[name]) not in given]
    problems = [
        *_listed("missing", (repr(name) for name in missing)),
        *_listed("unexpected", (repr(name) for name in sorted(found.unexpected_keys))),
        *_listed("misshapen", (f"{name!r}: {_form(state[name])}, not {_form(own[name])}" for name in misshapen)),
    ]
    if problems:
        raise FileError(f"{place}: of {len(state)} tensors for a model of {len(own)}, {'; '.join(problems)}; {remedy}")


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """What a module saves: its parameters and persistent buffers themselves, tied ones under each of their names.

    Raises:
        ModelError: some have no values yet, or are no tensors.
    """
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ModelError(f"{name}: a {type(tensor).__name__} cannot be stored; keep extra state in buffers.")
        if nn.parameter.is_lazy(tensor) or tensor.is_meta:
            raise ModelError(f"{name}: has no values yet; run the model once, on a device other than meta, first.")
    return dict(state)


def ties_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are another one under an earlier name, to that name."""
    first: dict[tuple[object, ...], str] = {}
    names = {name: first.setdefault(_identity(tensor), name) for name, tensor in state.items()}
    return {name: earlier for name, earlier in names.items() if name != earlier}


def tie_(model: nn.Module, ties: Mapping[str, str]) -> None:
    """Make exactly these names share their tensors, in place; what else shared memory gets its own.

    Names that the model lacks are passed over.
    """
    state = state_of(model)
    for name, earlier in ties_of(state).items():
        if ties.get(name, name) != ties.get(earlier, earlier):
            _put_(model, name, state[name].detach().clone(), state[name])
    state = state_of(model)
    for name, earlier in ties.items():
        if {name, earlier} <= state.keys() and _identity(state[name]) != _identity(state[earlier]):
            _put_(model, name, state[earlier], state[earlier])


def give_memory_(model: nn.Module) -> None:
    """Move parameters on the meta device to the CPU in place, what is tied together; they hold anything, to be filled.

    Buffers there stay: a buffer that is not saved would never get its values.
    """
    moved: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                if id(parameter) not in moved:
                    memory = torch.empty_like(parameter, device="cpu")
                    moved[id(parameter)] = nn.Parameter(memory, requires_grad=parameter.requires_grad)
                module._parameters[name] = moved[id(parameter)]


def _unfold_(state: Mapping[str, Tensor]) -> None:
    """Give expanded tensors, whose entries share memory, a place for every entry in place: else they take no values."""
    for tensor in state.values():
        if any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)):
            tensor.data = tensor.data.contiguous()


def _put_(model: nn.Module, name: str, tensor: Tensor, like: Tensor) -> None:
    owner, _, attribute = name.rpartition(".")
    if isinstance(like, nn.Parameter) and not isinstance(tensor, nn.Parameter):
        tensor = nn.Parameter(tensor, requires_grad=like.requires_grad)
    setattr(model.get_submodule(owner), attribute, tensor)


def _identity(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two names of the same numbers in memory; an empty tensor has no place there."""
    place = tensor.data_ptr() or id(tensor)
    return place, tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride()


def _fits(tensor: Tensor, own: Tensor) -> bool:
    """Equal shapes, and numbers that do not lose their fraction or imaginary part."""
    return tensor.shape == own.shape and torch.can_cast(tensor.dtype, own.dtype)


def _unprefixed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if not all(name.startswith(_PREFIX) for name in tensors) or any(name.startswith(_PREFIX) for name in own):
        return tensors
    state = OrderedDict((name.removeprefix(_PREFIX), tensor) for name, tensor in tensors.items())
    versions = getattr(tensors, "_metadata", None) or {}
    stripped = {name.removeprefix("module").removeprefix("."): version for name, version in versions.items()}
    state._metadata = stripped  # type: ignore[attr-defined]
    return state


def _listed(what: str, names: Iterable[str]) -> list[str]:
    found = list(names)
    shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
    return [f"{len(found)} {what} ({shown})"] if found else []


def _form(tensor: Tensor) -> str:
    return f"{list(tensor.shape)}" if tensor.dtype == torch.float32 else f"{list(tensor.shape)} {str(tensor.dtype)[6:]}"
