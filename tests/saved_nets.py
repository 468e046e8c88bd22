"""A small net, a plan for it, and how saved models are compared."""

import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secateur.plan import Certificate, Cut, Edit, Plan, Removal
from secateur.surgery import apply

GONE = (1, 4)
ALONG = (("first.weight", 0), ("first.bias", 0), ("last.weight", 1))
NORM = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
PLAN = Plan(
    method="dense",
    edits=(
        Edit("first", 6, (Removal(1, 0.1 + 0.2, 0), Removal(4, -1e-300, 1)), 0.30000000000000004, ("norm",), "mean"),
    ),
    cuts=tuple(Cut(name, axis, 6, GONE) for name, axis in (*ALONG, *((name, 0) for name in NORM))),
    certificate=Certificate(1e-8, 2e-8, 1e-5, "2 rows", "float32"),
)


class Net(nn.Module):
    """The net of `SOURCE`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


def same_bits(found: nn.Module, wanted: nn.Module) -> None:
    states = found.state_dict(), wanted.state_dict()
    assert list(states[0]) == list(states[1])
    for (name, f), w in zip(states[0].items(), states[1].values(), strict=True):
        assert (f.dtype, f.shape) == (w.dtype, w.shape), name
        assert f.contiguous().view(-1).view(torch.uint8).equal(w.contiguous().view(-1).view(torch.uint8)), name


def trained(model: nn.Module) -> nn.Module:
    """The model with nothing left at its default."""
    with torch.no_grad():
        for tensor in model.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def small() -> nn.Module:
    return apply(trained(Net()), PLAN)


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


def with_header(path: Path, header: dict[str, Any], body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path
