"""Modules as data, lines for units, and modules exchanged in place."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur.depth import KINDS, Affine, First, Ones, built, change_, has_weights, part_of
from secateur.errors import ModelError, PlanError
from secateur.plan import Part, Swap

MODULES = [
    nn.Identity(),
    Affine(5, -3),
    Ones(2),
    First(nn.Linear(2, 2), nn.LayerNorm((2,), eps=1e-3, bias=False)),
    nn.LayerNorm((3, 4), elementwise_affine=False),
    nn.Linear(3, 4),
    nn.Linear(3, 4, bias=False),
    nn.Conv1d(4, 6, 3, stride=2, padding="valid", bias=False),
    nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(1, 0), dilation=2, groups=2, padding_mode="reflect"),
    nn.Conv3d(2, 4, 1),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.LeakyReLU(0.3),
    nn.PReLU(4),
    nn.RReLU(0.1, 0.2),
    nn.ELU(0.5),
    nn.SELU(),
    nn.CELU(2.0),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Hardswish(),
    nn.Softplus(2, 10),
    nn.Sequential(nn.Conv2d(3, 3, 3), nn.Sequential(nn.ReLU()), nn.Identity()),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_a_module_built_from_its_data_is_the_same_but_for_values(module: nn.Module) -> None:
    again = built(part_of(module))
    assert repr(again) == repr(module)
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in again.state_dict().items()} == shapes
    assert all(not tensor.any() for tensor in again.parameters())
    assert has_weights(part_of(module)) == bool(shapes)


def test_every_kind_is_tried_here() -> None:
    assert {type(module) for module in MODULES} == set(KINDS.values())


def test_building_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    built(part_of(MODULES[5]))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_is_built_where_and_as_precise_as_asked() -> None:
    assert built(Part("linear", {"in_features": 2, "out_features": 1}), "meta").weight.is_meta
    assert built(Part("affine", {"units": 2}), dtype=torch.float64).weight.dtype == torch.float64


class Own(nn.Linear):
    """A class of the user's own, which may compute anything."""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.BatchNorm2d(3), "BatchNorm2d: a plan cannot build such a module; use one of affine, celu"),
        (Own(2, 3), "Own: a plan cannot build"),
        (nn.Sequential(nn.ReLU(), nn.Sigmoid()), "Sigmoid: a plan cannot build"),
        (nn.Sequential(*[nn.ReLU()] * 2), r"Sequential: a plan numbers its parts, but they are 0 \(of 2\)"),
    ],
)
def test_what_no_plan_can_hold_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        part_of(module)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part("transformer"), "'transformer': no kind of module that a plan can build; known: affine, "),
        (Part("linear", {"in_features": 2}), "linear: cannot be built .*out_features.*; make the plan anew"),
        (Part("linear", {"in_features": 2, "out_features": "3"}), "linear: cannot be built"),
        (Part("conv2d", {"in_channels": 3, "out_channels": 2, "kernel_size": 1, "groups": 2}), "conv2d: .*divisible"),
        (Part("affine", {"units": 3, "axis": 1}), "affine: .*axis is 1, but counts from behind"),
        (Part("relu", {}, (Part("relu"),)), "relu: cannot be built .*only a sequence and a first have parts, not 1"),
        (Part("sequence", {}, (Part("nothing"),)), "'nothing': no kind of module"),
    ],
)
def test_a_part_that_cannot_be_built_is_refused(part: Part, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        built(part)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_for_every_channel_is_what_a_norm_computes() -> None:
    """Against a batch-norm whose statistics are those of a standard normal."""
    norm, line, x = nn.BatchNorm2d(3, eps=0.0).eval(), Affine(3, -3), torch.randn(2, 3, 4, 5)
    with torch.no_grad():
        for name in ("weight", "bias"):
            dict(norm.named_parameters())[name].copy_(values := torch.randn(3))
            dict(line.named_parameters())[name].copy_(values)
    torch.testing.assert_close(line(x), norm(x))


@pytest.mark.parametrize(("axis", "shape"), [(-1, (2, 4, 3)), (-1, (2, 3)), (-2, (5, 3, 7)), (-4, (2, 3, 1, 2, 2))])
def test_a_line_as_built_changes_nothing_on_any_axis(axis: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert torch.equal(Affine(3, axis)(x), x)


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), Affine(4, -3), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(20, 2))


def fully_connected() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), Affine(4), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("network", "shape"), [(convolutional, (2, 3, 6, 6)), (fully_connected, (2, 3)), (fully_connected, (2, 7, 3))]
)
def test_units_flow_through_a_line_and_are_cut_with_it(network: type, shape: tuple[int, ...]) -> None:
    model, x = randomised(network()), torch.randn(shape)
    sites = sc.find_sites(model, x)
    assert {axis.tensor for axis in sites["0"].axes} >= {"0.weight", "1.weight", "1.bias", "2.weight"}
    small = sc.apply(model, sc.plan_of(sites, {"0": (0, 2)}), verify=True, example=x)
    assert torch.equal(small[1].weight, model[1].weight[[1, 3]])
    assert (small[1].units, repr(small[1])) == (2, f"Affine(2, axis={model[1].axis})")


@pytest.mark.parametrize(("network", "shape"), [(convolutional, (2, 3, 6, 6)), (fully_connected, (2, 3))])
def test_a_line_is_exported_to_onnx(network: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The export runs the file, and refuses it where it computes something else."""
    difference = sc.export_onnx(randomised(network()), tmp_path / "line.onnx", torch.randn(shape))
    assert difference < 1e-4
    assert {"Mul", "Add"} <= {node.op_type for node in onnx.load(str(tmp_path / "line.onnx")).graph.node}


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model.eval()


# --- exchanged --------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.acts = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.acts[1](self.acts[0](self.first(x))))


def test_a_module_is_exchanged_in_its_place_and_nothing_else_changes() -> None:
    model = Net().double()
    others = {name: id(module) for name, module in model.named_modules() if name != "acts.1"}
    change_(model.eval(), (Swap("acts.1", Part("affine", {"units": 4})),))
    line = model.acts[1]
    assert isinstance(line, Affine)
    assert (line.weight.dtype, line.training, model.training) == (torch.float64, False, False)
    assert {name: id(module) for name, module in model.named_modules() if name != "acts.1"} == others
    assert not model(torch.randn(1, 3).double()).sub(model.last.bias).any()  # its values come from somewhere else


def test_a_shared_module_is_exchanged_under_one_name_alone() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(shared, nn.Identity(), shared)
    change_(model, (Swap("2", Part("identity")),))
    assert model[0] is shared
    assert isinstance(model[2], nn.Identity)


@pytest.mark.parametrize("place", ["acts.2", "first.relu", "", "acts.0.inner"])
def test_a_module_that_does_not_exist_cannot_be_exchanged(place: str) -> None:
    with pytest.raises(PlanError, match=f"{place}.*: the plan puts a identity there, but Net has no such module"):
        change_(Net(), (Swap(place, Part("identity")),))
