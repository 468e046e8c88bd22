"""What must not change when something only looks at a model."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Fail if the model differs afterwards in values, gradients, modes, hooks or identities; or the random state."""
    before = _things(model), _values(model)
    yield
    assert _things(model) == before[0]
    after = _values(model)
    assert after.keys() == before[1].keys()
    assert [name for name in after if not torch.equal(after[name], before[1][name])] == []


def _things(model: nn.Module) -> dict[str, object]:
    return {
        "modules": [(name, type(module), id(module)) for name, module in model.named_modules()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
        "identities": [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        "trained": [parameter.requires_grad for parameter in model.parameters()],
        "with gradients": [name for name, parameter in model.named_parameters() if parameter.grad is not None],
    }


def _values(model: nn.Module) -> dict[str, Tensor]:
    values = {name: p.detach().clone() for name, p in (*model.named_parameters(), *model.named_buffers())}
    gradients = {f"{n}.grad": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return values | gradients | {"random state": torch.get_rng_state()}
