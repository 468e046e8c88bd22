"""Width: shorter axes in place, attributes that agree, and plans that do not fit."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.errors import ModelError, PlanError
from secateur.plan import Cut, Plan
from secateur.width import add_bias_, copied, cut_, drop_bias_, resize_, tensors_of


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
