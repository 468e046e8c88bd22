"""Random values where a fresh network would be blind: equal biases, zero gates, even attention hide every mistake.

With torch's and the hubs' own initial values, attention is nearly uniform, branches are scaled to nothing and batch
norms do nothing; a network cut wrongly then puts out what the right one does.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn

PEAKED = 2.0  # the norm of a query's or key's weights: scores then spread by about its square
PEAKED_UNSCALED = 0.25  # where scores are not divided by the square root of the head's size
CARRYING = 1.4  # the least norm of a row of any other weight: what goes in does not fade away before it comes out
_ATTENDING = re.compile(
    r"(^|[._])(query|key|query_key_value|q|k|kv|qkv|to_q|to_k|q_proj|k_proj|query_proj|key_proj|q_lin|k_lin|in_proj|"
    r"c_attn|qk)([._]|$)"
)
_TABLE = re.compile(r"pos|rel|token|table|attention_biases|embed")
_UNSCALED = ("T5",)


@torch.no_grad()
def open_eyes_(model: nn.Module, example: Any, seed: int = 0) -> None:
    """Give a network, in place, values under which every unit and every head matters to its output."""
    generator = torch.Generator().manual_seed(seed)
    peaked = PEAKED_UNSCALED if type(model).__name__.startswith(_UNSCALED) else PEAKED
    for owner, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_floating_point():
                _fill_(parameter, f"{owner}.{name}", generator)
                if parameter.dim() > 1:
                    axis = 0 if type(module).__name__ == "Conv1D" else 1
                    _scale_(parameter, axis, peaked if _ATTENDING.search(f"{owner}.{name}") else None)
    _settle_batch_norms_(model, example, generator)


def call(model: nn.Module, example: Any) -> Any:
    """The model's output on an example."""
    return model(**example) if isinstance(example, dict) else model(example)


def _fill_(parameter: nn.Parameter, name: str, generator: torch.Generator) -> None:
    """Biases around zero, scales around one; tables and weights that are constant become random."""
    if parameter.numel() == max(parameter.shape, default=1) and not _TABLE.search(name.rpartition(".")[2]):
        low, high = (-0.5, 0.5) if "bias" in name else (0.5, 1.5)
        parameter.copy_(_uniform(parameter, low, high, generator))
    elif _TABLE.search(name) and "proj" not in name and parameter.std() < 0.3:
        parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    elif bool((parameter == parameter.flatten()[0]).all()):
        spread = parameter[0].numel() ** -0.5
        parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))


def _scale_(weight: nn.Parameter, axis: int, norm: float | None) -> None:
    """Scale the weights of each query or key entry to one norm; raise those of other layers that make too little."""
    flat = weight if axis == 0 else weight.flatten(1)
    sizes = torch.linalg.vector_norm(flat, dim=axis, keepdim=True).clamp_min(1e-6)
    if norm is not None:
        weight.copy_((flat * (norm / sizes)).reshape(weight.shape))
    elif sizes.mean() < CARRYING:
        weight.mul_(CARRYING / sizes.mean())


def _settle_batch_norms_(model: nn.Module, example: Any, generator: torch.Generator) -> None:
    """Statistics as the example gives them, each off by a random amount: no layer explodes, none is trivial."""
    norms = [
        m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None
    ]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    call(model, example)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
        norm.running_var.clamp_(min=1e-2).mul_(_uniform(norm.running_var, 0.7, 1.4, generator))
        norm.running_mean.add_(norm.running_var.sqrt() * _uniform(norm.running_mean, -0.3, 0.3, generator))


def _uniform(like: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(like.shape, generator=generator)
