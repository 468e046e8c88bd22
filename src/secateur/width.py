"""Apply a plan to a model's tensors: shorter axes, and module attributes that say so."""

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from secateur.errors import ModelError, PlanError, first_line
from secateur.plan import Cut, Plan

_TABLES = (dict, OrderedDict, set)  # kinds that torch gives every module many of: hooks, parameters, buffers
MAY_GAIN_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def copied(model: nn.Module, instead: Callable[[nn.Parameter], nn.Parameter] | None = None) -> nn.Module:
    """A deep copy of a model, with other parameters where `instead` gives one for each.

    Raises:
        ModelError: the model holds something that cannot be copied.
    """
    plain = [p for p in model.parameters() if type(p) is nn.Parameter] if instead else []
    others = {id(p): instead(p) for p in plain if instead}
    try:
        return copy.deepcopy(model, {**_empty_tables(model), **others})
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"{type(model).__name__}: the model cannot be copied: {_uncopied(model, error)}.") from error


def sharing(model: nn.Module) -> nn.Module:
    """A copy that shares the model's parameters, and may be cut, since a cut puts others in their place."""
    return copied(model, lambda parameter: parameter)


def doubled(model: nn.Module) -> nn.Module:
    """A copy in float64."""

    def twice_as_long(parameter: nn.Parameter) -> nn.Parameter:
        values = parameter.detach()
        values = values.double() if values.is_floating_point() and values.dtype != torch.float64 else values.clone()
        return nn.Parameter(values, requires_grad=parameter.requires_grad)

    return copied(model, twice_as_long).double()


def _empty_tables(model: nn.Module) -> dict[int, Any]:
    """Copies of the empty tables on all modules, such as those for hooks, by identity: deepcopy is slow with them."""
    tables = (value for module in model.modules() for value in vars(module).values() if type(value) in _TABLES)
    return {id(table): type(table)() for table in tables if not table}


def _uncopied(model: nn.Module, error: BaseException) -> str:
    """What on a model cannot be copied, and what to do about it."""
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                place = f"{name}.{key}" if name else key
                how = "(remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils)"
                what = "a result with its gradients' graph, left from an earlier pass"
                return f"{place} is {what}; bake it in {how} or delete it"
    return f"{first_line(error)}; keep only parameters, buffers and plain values on its modules"


def cut_(model: nn.Module, plan: Plan) -> None:
    """Remove in place what a plan removes; works on any device, meta included.

    Raises:
        PlanError: the plan names a tensor, a length or a module that the model does not have.
    """
    tensors = tensors_of(model)
    for cut in plan.cuts:
        _check(cut, tensors)
    _check_modules(plan, model)
    places = _places(model)
    for name, cuts in _by_tensor(plan.cuts).items():
        whole = tensors[name]
        part = whole.detach()
        for cut in cuts:
            kept = sorted(set(range(cut.length)) - set(cut.removed))
            part = part.index_select(cut.axis, torch.tensor(kept, dtype=torch.long, device=part.device))
        _replace_(places[id(whole)], whole, _laid_out(part, whole))
    for name in plan.emptied:
        _set_module_(model, name, nn.Identity())
    for name in plan.biased:
        add_bias_(model, name)
    for resize in plan.attributes:
        setattr(model.get_submodule(resize.module), resize.name, resize.after)
    update_attributes_(model)


def resize_(model: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give tensors new shapes in place (their values are lost), and update the modules' attributes."""
    places = _places(model)
    for name, tensor in tensors_of(model).items():
        shape = shapes.get(name)
        if shape is not None and tuple(tensor.shape) != tuple(shape):
            _replace_(places[id(tensor)], tensor, torch.zeros(shape, dtype=tensor.dtype, device=tensor.device))
    update_attributes_(model)


def add_bias_(model: nn.Module, name: str) -> None:
    """Give a linear layer or convolution without a bias one of zeros, in place."""
    layer = model.get_submodule(name)
    if isinstance(layer, MAY_GAIN_BIAS) and "bias" not in dict(layer.named_parameters(recurse=False)):
        zeros = torch.zeros(layer.weight.shape[0], dtype=layer.weight.dtype, device=layer.weight.device)
        layer.bias = nn.Parameter(zeros, requires_grad=layer.weight.requires_grad)


def drop_bias_(model: nn.Module, name: str) -> None:
    """Take the bias from a linear layer or convolution, in place."""
    layer = model.get_submodule(name)
    if isinstance(layer, MAY_GAIN_BIAS):
        layer.register_parameter("bias", None)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name, tied ones under each of their names."""
    parameters: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    return parameters | dict(model.named_buffers(remove_duplicate=False))


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """One of them; quicker than all of them where few are needed."""
    place, _, leaf = name.rpartition(".")
    module = model.get_submodule(place)
    tensor = module._parameters.get(leaf)
    found: Tensor | None = module._buffers[leaf] if tensor is None else tensor
    assert found is not None
    return found


def update_attributes_(model: nn.Module) -> None:
    """Make the attributes that hold sizes agree with the tensors, in place."""
    for module in model.modules():
        match module:
            case nn.Linear():
                module.out_features, module.in_features = _weight(module).shape
            case nn.modules.conv._ConvTransposeNd():
                _resize_convolution_(module, made="in_channels", shared="out_channels")
            case nn.modules.conv._ConvNd():
                _resize_convolution_(module, made="out_channels", shared="in_channels")
            case nn.Embedding() | nn.EmbeddingBag():
                module.num_embeddings, module.embedding_dim = _weight(module).shape
            case nn.PReLU():
                module.num_parameters = len(module.weight)
            case _:
                _resize_norm_(module)


@torch.no_grad()
def _weight(module: Any) -> Tensor:
    """A layer's weight; one that is computed from others, by a copy in eval mode: computing it may change buffers."""
    weight: Tensor = (copy.deepcopy(module).eval() if is_parametrized(module) else module).weight
    return weight


def _resize_norm_(module: nn.Module) -> None:
    match module:
        case nn.modules.batchnorm._NormBase() if module.running_mean is not None or module.affine:
            module.num_features = len(module.running_mean if module.running_mean is not None else module.weight)
        case nn.GroupNorm() if module.affine:
            module.num_channels = len(module.weight)
        case _ if isinstance(vars(module).get("normalized_shape"), tuple):  # torch's norms, and those written like them
            weight = module._parameters.get("weight")
            if weight is not None:
                vars(module)["normalized_shape"] = tuple(weight.shape)


def _resize_convolution_(module: Any, *, made: str, shared: str) -> None:
    """Channels of a convolution whose weight [made, shared of one group, …] has changed, in place.

    Groups are an attribute that a plan changes; without one, a depthwise convolution has as many as it has channels.
    """
    rows, columns = _weight(module).shape[:2]
    if columns == 1 and 1 < module.groups == module.in_channels and rows != getattr(module, made):
        module.groups = rows * module.groups // getattr(module, made)
    setattr(module, made, rows)
    setattr(module, shared, columns * module.groups)


def _laid_out(part: Tensor, whole: Tensor) -> Tensor:
    """A tensor in the memory format of another."""
    for layout in (torch.channels_last, torch.channels_last_3d):
        is_its = whole.dim() == (4 if layout == torch.channels_last else 5)
        if is_its and not whole.is_contiguous() and whole.is_contiguous(memory_format=layout):
            return part.contiguous(memory_format=layout)
    return part


def _check(cut: Cut, tensors: Mapping[str, Tensor]) -> None:
    tensor = tensors.get(cut.tensor)
    if tensor is None:
        raise PlanError(
            f"{cut.tensor}: the plan cuts it, but the model has no such tensor; make the plan for this model."
        )
    found = tensor.shape[cut.axis] if 0 <= cut.axis < tensor.dim() else 0
    if found != cut.length:
        raise PlanError(
            f"{cut.tensor}: the plan expects {cut.length} entries on axis {cut.axis}, the model has {found}; "
            "make the plan for this model."
        )
    if cut.removed and not 0 <= min(cut.removed) <= max(cut.removed) < cut.length:
        outside = next(entry for entry in cut.removed if not 0 <= entry < cut.length)
        raise PlanError(f"{cut.tensor}: the plan removes entry {outside} of {cut.length}; make the plan anew.")


def _check_modules(plan: Plan, model: nn.Module) -> None:
    modules = dict(model.named_modules())
    for resize in plan.attributes:
        found = vars(modules[resize.module]).get(resize.name) if resize.module in modules else None
        if type(found) is not int or found != resize.before:
            raise PlanError(
                f"{resize.module}.{resize.name}: the plan expects {resize.before}, the model has {found}; "
                "make the plan for this model."
            )
    for name in (*plan.emptied, *plan.biased):
        if name not in modules:
            raise PlanError(
                f"{name}: the plan changes it, but the model has no such module; make the plan for this model."
            )


def _by_tensor(cuts: Sequence[Cut]) -> dict[str, list[Cut]]:
    """The cuts of every tensor."""
    found: dict[str, list[Cut]] = defaultdict(list)
    for cut in cuts:
        found[cut.tensor].append(cut)
    return found


def _places(model: nn.Module) -> dict[int, list[tuple[dict[str, Any], str]]]:
    """For every tensor, by its identity, the tables of modules and the keys that hold it: several where it is tied."""
    places: dict[int, list[tuple[dict[str, Any], str]]] = defaultdict(list)
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                places[id(tensor)].append((table, key))
    return places


def _replace_(places: list[tuple[dict[str, Any], str]], old: Tensor, new: Tensor) -> None:
    """Put a tensor in the place of another, wherever that one is used (tied weights stay tied)."""
    stored: Any = new
    if isinstance(old, nn.Parameter):
        stored = nn.Parameter(new, requires_grad=old.requires_grad)
    for table, key in places:
        table[key] = stored


def _set_module_(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    model.get_submodule(parent).set_submodule(child, module)
