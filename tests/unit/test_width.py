"""Width: shorter axes in place, attributes that agree, and plans that do not fit."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.budget import plan_of
from secateur.errors import ModelError, PlanError
from secateur.finding import find_sites
from secateur.plan import Cut, Plan
from secateur.surgery import apply
from secateur.width import add_bias_, copied, cut_, doubled, drop_bias_, resize_, sharing, tensors_of


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2, bias=False))


def test_a_cut_takes_just_these_entries() -> None:
    model = net()
    before = copy.deepcopy(model)
    cut_(
        model,
        Plan("chosen", cuts=(Cut("0.weight", 0, 5, (1, 4)), Cut("0.weight", 1, 3, (0,)), Cut("1.bias", 0, 5, ()))),
    )
    assert torch.equal(model[0].weight, before[0].weight[[0, 2, 3]][:, [1, 2]])
    assert torch.equal(model[1].bias, before[1].bias)
    assert (model[0].out_features, model[0].in_features) == (3, 2)


def test_everything_that_names_a_tensor_gets_the_shorter_one() -> None:
    model = nn.ModuleList([nn.Linear(3, 5), nn.Linear(3, 5)])
    model[1].weight = model[0].weight
    model.append(model[0])
    cut_(model, Plan("chosen", cuts=(Cut("1.weight", 0, 5, (0,)),)))
    assert model[0].weight is model[1].weight is model[2].weight
    assert model[0].weight.shape == (4, 3)
    assert tensors_of(model).keys() >= {"0.weight", "1.weight", "2.weight"}


def test_parameters_stay_parameters_and_buffers_buffers() -> None:
    model = net()
    model[1].weight.requires_grad_(False)
    cut_(
        model,
        Plan("chosen", cuts=tuple(Cut(f"1.{name}", 0, 5, (2,)) for name in ("weight", "running_mean", "running_var"))),
    )
    assert isinstance(model[1].weight, nn.Parameter)
    assert not model[1].weight.requires_grad
    assert not isinstance(model[1].running_mean, nn.Parameter)
    assert model[1].num_features == 4
    assert model[0].weight.is_leaf


def test_emptied_modules_pass_everything_on() -> None:
    model = nn.Sequential(net(), nn.Linear(2, 2))
    cut_(model, Plan("chosen", emptied=("0.1",)))
    assert isinstance(model[0][1], nn.Identity)


def test_a_layer_gains_a_bias_of_zeros_as_long_as_it_then_is() -> None:
    model = net().double()
    cut_(model, Plan("chosen", cuts=(Cut("3.weight", 0, 2, (0,)),), biased=("3",)))
    assert torch.equal(model[3].bias, torch.zeros(1, dtype=torch.float64))
    assert model[3].bias.requires_grad


def test_a_bias_that_is_there_is_left_alone() -> None:
    model = net()
    before = model[0].bias
    add_bias_(model, "0")
    assert model[0].bias is before
    add_bias_(model, "1")  # no linear layer


def test_a_bias_can_go_again() -> None:
    model = net()
    names = list(model.state_dict())
    add_bias_(model, "3")
    drop_bias_(model, "3")
    assert model[3].bias is None
    assert list(model.state_dict()) == names


def test_resizing_gives_the_shapes_and_says_so() -> None:
    model = net()
    resize_(model, {"0.weight": (4, 3), "0.bias": (4,), "1.running_mean": (4,), "unknown": (9,), "3.weight": (2, 5)})
    assert model[0].out_features == model[1].num_features == 4
    assert model[3].weight.shape == (2, 5)


ILL_FITTING = {
    r"0\.wight: .*no such tensor": Plan("chosen", cuts=(Cut("0.wight", 0, 5, (1,)),)),
    r"0\.weight: .* expects 6 entries on axis 0, the model has 5": Plan("chosen", cuts=(Cut("0.weight", 0, 6, (1,)),)),
    r"0\.weight: .* axis 2, the model has 0": Plan("chosen", cuts=(Cut("0.weight", 2, 5, (1,)),)),
    r"0\.weight: .* axis -1, the model has 0": Plan("chosen", cuts=(Cut("0.weight", -1, 3, (1,)),)),
    r"0\.weight: .* entry 5 of 5": Plan("chosen", cuts=(Cut("0.weight", 0, 5, (1, 5)),)),
    r"0\.weight: .* entry -1 of 5": Plan("chosen", cuts=(Cut("0.weight", 0, 5, (-1, 1)),)),
    r"9: .*no such module": Plan("chosen", emptied=("9",)),
    r"8: .*no such module": Plan("chosen", biased=("8",)),
}


@pytest.mark.parametrize("found", ILL_FITTING)
def test_a_plan_of_another_model_is_refused_and_nothing_changed(found: str) -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    good = Cut("1.weight", 0, 5, (0,))
    plan = ILL_FITTING[found]
    with pytest.raises(PlanError, match=found):
        cut_(model, Plan("chosen", cuts=(good, *plan.cuts), emptied=plan.emptied, biased=plan.biased))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_cannot_be_copied_is_refused() -> None:
    model = net()
    model.leftover = model(torch.randn(4, 3))  # a result with its gradients' graph
    with pytest.raises(ModelError, match="cannot be copied"):
        copied(model)


def test_an_open_file_on_a_model_is_refused(tmp_path: Path) -> None:
    model = net()
    with (tmp_path / "log").open("w") as model.log, pytest.raises(ModelError, match="plain values"):
        copied(model)


def test_a_copy_shares_nothing() -> None:
    model = net()
    copy_ = copied(model)
    shared: set[int] = {t.data_ptr() for t in tensors_of(model).values()} & {
        t.data_ptr() for t in tensors_of(copy_).values()
    }
    assert not shared
    assert all(isinstance(tensor, Tensor) for tensor in tensors_of(copy_).values())


def test_a_copy_that_shares_the_parameters_can_be_cut_and_leaves_the_model_alone() -> None:
    model = net()
    before = {name: (tensor, tensor.clone()) for name, tensor in tensors_of(model).items()}
    small = sharing(model)
    cut_(small, Plan("chosen", cuts=(Cut("0.weight", 0, 5, (1,)), Cut("1.running_mean", 0, 5, (1,)))))
    shared = {name for name, tensor in tensors_of(small).items() if tensor is before[name][0]}
    assert shared == {"0.bias", "1.weight", "1.bias", "3.weight"}
    assert len(small[0].weight) == len(small[1].running_mean) == 4
    assert all(tensor is before[n][0] and torch.equal(tensor, before[n][1]) for n, tensor in tensors_of(model).items())


def test_a_copy_in_float64_has_the_same_values() -> None:
    model = Rich()
    twice = doubled(model)
    assert twice.again.weight is twice.last.weight
    assert not twice.deep.weight.requires_grad
    for name, tensor in tensors_of(twice).items():
        assert tensor.dtype == (torch.float64 if tensors_of(model)[name].is_floating_point() else torch.int64)
        assert torch.equal(tensor, tensors_of(model)[name].to(tensor.dtype))
        assert tensor.data_ptr() != tensors_of(model)[name].data_ptr()


# --- what a cut leaves as it is ---------------------------------------------------------------------------------------

SIZES = {"in_features", "out_features", "in_channels", "out_channels", "groups", "num_features", "normalized_shape"}
TABLES = {"_parameters", "_buffers", "_modules"}


class Rich(nn.Module):
    """Everything that a module can have besides weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6, momentum=0.3)
        self.deep = nn.Conv2d(6, 6, 3, groups=6, padding_mode="circular", padding=1)
        self.tail = nn.Sequential(nn.Conv2d(6, 5, 1), nn.Dropout(0.4))
        self.last, self.again = nn.Linear(5, 2), nn.Linear(5, 2)
        self.again.weight = self.last.weight
        self.register_buffer("calls", torch.tensor(7))
        self.register_buffer("scale", torch.ones(6, 1, 1), persistent=False)
        self.settings = {"names": ["a", "b"], "rate": 0.5}
        self.norm.eval()
        self.deep.weight.requires_grad_(False)
        self.tail.register_forward_hook(noted)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.tail(self.deep(self.norm(self.first(x)) * self.scale).relu()).mean((2, 3))
        return self.last(hidden) + self.again(hidden.relu())


def noted(module: nn.Module, given: tuple[Tensor], out: Tensor) -> None:
    """A hook that changes nothing."""


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_cut_changes_sizes_and_nothing_else(layout: torch.memory_format) -> None:
    model = Rich().to(memory_format=layout)
    x = torch.randn(2, 3, 6, 6)
    random = torch.get_rng_state()
    sites = find_sites(model, x)
    small = apply(model, plan_of(sites, {"first": (0, 4), "tail.0": (1,)}), verify=True, example=x)

    assert torch.equal(torch.get_rng_state(), random)
    assert list(small.state_dict()) == list(model.state_dict())
    for (name, one), (other_name, other) in zip(model.named_modules(), small.named_modules(), strict=True):
        assert (name, type(one), set(vars(one))) == (other_name, type(other), set(vars(other)))
        for key in vars(one).keys() - SIZES - TABLES:
            assert vars(one)[key] == vars(other)[key], (name, key)
        for key in TABLES:
            assert list(vars(one)[key]) == list(vars(other)[key])
    assert (small.first.out_channels, small.norm.num_features, small.deep.groups, small.tail[0].out_channels) == (
        4,
        4,
        4,
        4,
    )
    assert small.last.weight is small.again.weight
    assert small.scale.shape == (4, 1, 1)
    assert [p.requires_grad for p in small.parameters()] == [p.requires_grad for p in model.parameters()]
    assert all(p.is_contiguous(memory_format=layout) for p in small.parameters() if p.dim() == 4)
    assert not {t.data_ptr() for t in tensors_of(small).values()} & {t.data_ptr() for t in tensors_of(model).values()}


def test_a_hook_on_a_single_tensor_does_not_come_along_as_in_any_copy() -> None:
    model = net()
    model[0].weight.register_hook(lambda gradient: gradient * 0)
    small = apply(model, plan_of(find_sites(model, torch.randn(4, 3)), {"0": (1,)}))
    small.eval()(torch.randn(4, 3)).sum().backward()
    assert small[0].weight.grad.abs().sum() > 0
    assert len(model[0].weight._backward_hooks) == 1


@pytest.mark.parametrize(
    ("convolution", "sides"), [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3), (nn.ConvTranspose2d, 2)]
)
def test_channels_that_are_made_of_a_single_one_can_go(convolution: type[nn.Module], sides: int) -> None:
    model = nn.Sequential(convolution(1, 6, 3), nn.ReLU(), convolution(6, 2, 3), nn.Flatten())
    grey = torch.randn(2, 1, *(7,) * sides)
    sites = find_sites(model, grey)
    assert sites.names == ("0",)
    small = apply(model, plan_of(sites, {"0": (1, 4, 5)}), verify=True, example=grey)
    assert (small[0].in_channels, small[0].out_channels, small[0].groups) == (1, 3, 1)
