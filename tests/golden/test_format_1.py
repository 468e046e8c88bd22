"""Files of format 1 stay readable: this one was written by secateur 0.1."""

from pathlib import Path

import torch
from torch import Tensor, nn

from secateur import storage
from secateur.plan import Certificate, Cut, Edit, Plan, Removal

FILE = Path(__file__).with_name("format_1.safetensors")
PLAN = Plan(
    method="dense",
    edits=(Edit("first", 3, (Removal(1, 0.1, 0),), 0.25, ("norm", "again"), "mean"),),
    cuts=(
        *(Cut(f"first.{name}", 0, 3, (1,)) for name in ("weight", "bias")),
        *(Cut(f"norm.{name}", 0, 3, (1,)) for name in ("weight", "bias", "running_mean", "running_var")),
        Cut("last.weight", 1, 3, (1,)),
    ),
    biased=("last",),
    certificate=Certificate(1e-8, 2e-8, 1e-5, "2 rows of calibration data or example", "float32"),
)


class Net(nn.Module):
    """The original: three hidden units, an output layer without bias, and one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.last = nn.Linear(3, 2, bias=False)
        self.shift = nn.Parameter(torch.zeros(1))
        self.again = self.shift

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x)))) + self.shift


def weights() -> dict[str, Tensor]:
    """What the file holds."""
    return {
        "first.weight": torch.tensor([[1.0, -2.0], [0.5, 0.25]]),
        "first.bias": torch.tensor([0.125, -1.0]),
        "norm.weight": torch.tensor([2.0, 3.0]),
        "norm.bias": torch.tensor([-0.5, 4.0]),
        "norm.running_mean": torch.tensor([0.75, -0.25]),
        "norm.running_var": torch.tensor([4.0, 0.25]),
        "norm.num_batches_tracked": torch.tensor(7),
        "last.weight": torch.tensor([[1.5, -1.0], [0.0, 2.0]]),
        "last.bias": torch.tensor([10.0, 20.0]),
        "shift": torch.tensor([-3.0]),
        "again": torch.tensor([-3.0]),
    }


def test_format_1_gives_the_weights_the_plan_and_the_builder() -> None:
    model = storage.load(FILE, build=Net)
    state = model.state_dict()

    assert state.keys() == weights().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in weights().items())
    assert model.again is model.shift
    assert (model.first.out_features, model.norm.num_features, model.last.in_features) == (2, 2, 2)
    assert storage.read_plan(FILE) == PLAN
    assert storage.read_builder(FILE) == "zoo:mlp?hidden=3"


def test_format_1_puts_out_what_it_did() -> None:
    """By hand, for the input (3, 1): units 1.125 and 0.75, normed −0.125 → 0 and 10; 10·(−1, 2) + (10, 20) − 3."""
    output = storage.load(FILE, build=Net).eval()(torch.tensor([[3.0, 1.0]]))

    assert torch.allclose(output, torch.tensor([[-3.0, 37.0]]), atol=1e-3)
