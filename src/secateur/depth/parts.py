"""Modules as data: the kinds that a plan may put into a network, and how they are built."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from secateur.depth.affine import Affine
from secateur.depth.first import First
from secateur.depth.ones import Ones
from secateur.errors import ModelError, PlanError, first_line
from secateur.plan import Part

KINDS: Mapping[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "affine": Affine,
    "ones": Ones,
    "linear": nn.Linear,
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "layer_norm": nn.LayerNorm,
    "sequence": nn.Sequential,
    "first": First,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softplus": nn.Softplus,
}

RECTIFIERS: Mapping[str, tuple[str, ...]] = {  # those without weights and chance, with their settings in order
    "relu": ("inplace",),
    "relu6": ("inplace",),
    "leaky_relu": ("negative_slope", "inplace"),
    "elu": ("alpha", "inplace"),
    "selu": ("inplace",),
    "celu": ("alpha", "inplace"),
    "gelu": ("approximate",),
    "silu": ("inplace",),
    "mish": ("inplace",),
    "hardswish": ("inplace",),
    "softplus": ("beta", "threshold"),
}
_CONVOLUTION = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
    "padding_mode",
)
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    **RECTIFIERS,
    "affine": ("units", "axis"),
    "ones": ("axes",),
    "layer_norm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "linear": ("in_features", "out_features", "bias"),
    "conv1d": _CONVOLUTION,
    "conv2d": _CONVOLUTION,
    "conv3d": _CONVOLUTION,
    "prelu": ("num_parameters",),
    "rrelu": ("lower", "upper", "inplace"),
}


def part_of(module: nn.Module) -> Part:
    """A module as data, without the values of its weights.

    Raises:
        ModelError: it is of no kind that a plan can hold.
    """
    kind = next((kind for kind, built_by in KINDS.items() if type(module) is built_by), None)
    if kind is None:
        raise ModelError(
            f"{type(module).__name__}: a plan cannot build such a module; use one of {', '.join(sorted(KINDS))}."
        )
    children = dict(module.named_children())
    if list(children) != [str(place) for place in range(len(module._modules))]:
        raise ModelError(
            f"{type(module).__name__}: a plan numbers its parts, but they are {', '.join(children)} (of "
            f"{len(module._modules)}); give nn.Sequential its parts without names, each once."
        )
    settings = {name: _setting(module, name) for name in _SETTINGS.get(kind, ())}
    return Part(kind, settings, tuple(part_of(child) for child in children.values()))


def built(part: Part, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> nn.Module:
    """The module that a part describes; all its weights are zero, and no random number is drawn.

    Raises:
        PlanError: the kind is unknown, or has no such settings.
    """
    try:
        with torch.device("meta"):
            module = _constructed(part)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PlanError(
            f"{part.kind}: cannot be built with the plan's settings {dict(part.settings)}: {first_line(error)}; make "
            "the plan anew."
        ) from error
    module = module.to(dtype=dtype).to_empty(device=device or "cpu")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    return module


def has_weights(part: Part) -> bool:
    """Whether a part's module has parameters, whose values are in no plan.

    Raises:
        PlanError: as for `built`.
    """
    return any(True for _ in built(part, "meta").parameters())


def _constructed(part: Part) -> nn.Module:
    kind = KINDS.get(part.kind)
    if kind is None:
        raise PlanError(f"{part.kind!r}: no kind of module that a plan can build; known: {', '.join(sorted(KINDS))}.")
    if part.parts and part.kind not in ("sequence", "first"):
        raise ValueError(f"only a sequence and a first have parts, not {len(part.parts)}")
    return kind(*(_constructed(inner) for inner in part.parts), **part.settings)


def _setting(module: nn.Module, name: str) -> Any:
    """One argument that a module was built with; of a bias, whether there is one."""
    value = getattr(module, name)
    return value is not None if isinstance(value, Tensor) or name == "bias" else value
