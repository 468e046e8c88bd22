"""Between modules and maps: what a linear module computes, and the module that computes a map."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from secateur.depth import Affine, Ones
from secateur.errors import FoldError
from secateur.folding.maps import Map, linear, norm_scale, scale

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
LINEAR: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS, *NORMS, Affine, nn.LayerNorm)
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm: a batch-norm, or a layer norm, which ends in a scale."""
    return type(module) in NORMS or type(module) is nn.LayerNorm


def is_product(module: nn.Module) -> bool:
    """Whether a module is a convolution or a linear layer."""
    return type(module) is nn.Linear or type(module) in CONVOLUTIONS


def is_scalable(module: nn.Module) -> bool:
    """Whether a module has a weight and a bias for every channel, with which it can take over a scale."""
    return type(module) is Affine or has_scale(module) or (type(module) in NORMS and bool(module.affine))


def has_scale(module: nn.Module) -> bool:
    """Whether a module is a layer norm over one axis that ends in a factor and a summand for every channel."""
    if type(module) is not nn.LayerNorm or len(module.normalized_shape) > 1:
        return False
    return module.elementwise_affine and module.bias is not None


def map_of(name: str, module: nn.Module, axes: int) -> Map:
    """What a module computes in eval mode, on data with so many axes besides rows and one of channels.

    Raises:
        FoldError: it is not linear, or not by zeros around its input.
    """
    match module:
        case nn.Linear():
            return linear(name, module.weight, module.bias)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return _convolution(name, module)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d() | nn.SyncBatchNorm():
            return _norm(name, module, axes)
        case nn.LayerNorm() if has_scale(module):
            return scale(name, module.weight, module.bias, 0)
        case Affine():
            return scale(name, module.weight, module.bias, -module.axis - 1)
    raise FoldError(f"{name}: {type(module).__name__} is not linear; make it linear first, or leave it.")


@torch.no_grad()
def module_of(given: Map, place: nn.Module) -> nn.Module:
    """The module that computes a map, with device and dtype of the one whose place it takes."""
    like = next(place.parameters())
    if not given.kernel:
        made: nn.Module = nn.Linear(given.read, given.made, bias=given.bias is not None, device="meta")
    else:
        made = CONVOLUTIONS[len(given.kernel) - 1](
            given.read,
            given.made,
            given.kernel,
            given.stride,
            given.padding,
            given.dilation,
            given.groups,
            bias=given.bias is not None,
            device="meta",
        )
    made = made.to(like.dtype).to_empty(device=like.device)
    state = {"weight": given.weight} if given.bias is None else {"weight": given.weight, "bias": given.bias}
    made.load_state_dict(state)
    return nn.Sequential(Ones(len(given.kernel)), made) if given.ones else made


def without_scale(module: nn.Module) -> nn.Module:
    """What is left of a module whose linear map has gone elsewhere."""
    if isinstance(module, nn.LayerNorm):
        return nn.LayerNorm(module.normalized_shape, module.eps, elementwise_affine=False)
    return nn.Identity()


@torch.no_grad()
def rescale_(module: nn.Module, given: Map) -> None:
    """Make a batch-norm or an Affine compute another scale, in place; a batch-norm keeps its statistics.

    Raises:
        FoldError: it has no weights to do it with.
    """
    factor = given.weight.flatten()
    shift = torch.zeros_like(factor) if given.bias is None else given.bias
    match module:
        case Affine() | nn.LayerNorm():
            pass
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d() | nn.SyncBatchNorm() if module.affine:
            mean, variance = _statistics(given.name, module)
            shift = shift + factor * mean.double()
            factor = factor * (variance.double() + module.eps).sqrt()
        case _:
            raise FoldError(f"{given.name}: {type(module).__name__} has no weight that could scale; leave it as it is.")
    module.load_state_dict({**module.state_dict(), **_values(factor, shift)})


def _values(weight: Tensor, bias: Tensor) -> Mapping[str, Tensor]:
    return {"weight": weight, "bias": bias}


def _convolution(name: str, module: Convolution) -> Map:
    if module.padding_mode != "zeros":
        raise FoldError(
            f"{name}: pads with {module.padding_mode} values; only zeros are known to merge. Leave it, or set "
            "padding_mode='zeros' before recovery."
        )
    bias = None if module.bias is None else module.bias.detach().double()
    return Map(
        name,
        module.weight.detach().double(),
        bias,
        tuple(module.stride),
        _padding(name, module),
        tuple(module.dilation),
        module.groups,
    )


def _padding(name: str, module: Convolution) -> tuple[int, ...]:
    """How many zeros stand on both sides of every axis."""
    match module.padding:
        case "valid":
            return (0,) * len(module.kernel_size)
        case "same":
            around = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            if any(zeros % 2 for zeros in around):
                raise FoldError(
                    f"{name}: padding 'same' puts {around} zeros around the axes, more on one side than on the other; "
                    "only equal sides merge."
                )
            return tuple(zeros // 2 for zeros in around)
    return tuple(int(zeros) for zeros in module.padding)


def _norm(name: str, module: BatchNorm, axes: int) -> Map:
    if module.training:
        raise FoldError(
            f"{name}: this batch-norm is in training mode, in which it takes its statistics from the batch; call "
            "model.eval() first."
        )
    mean, variance = _statistics(name, module)
    return scale(name, *norm_scale(mean, variance, module.eps, module.weight, module.bias), axes)


def _statistics(name: str, module: BatchNorm) -> tuple[Tensor, Tensor]:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        raise FoldError(
            f"{name}: this batch-norm of {module.num_features} channels has no running statistics, so it is not "
            "linear; train it with track_running_stats=True, or leave it."
        )
    return mean, variance
