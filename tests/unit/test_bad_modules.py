"""Hooks, quantised, scripted and wrapped modules: refused by name, or followed and kept."""

import pytest
import torch
from torch import nn

import secateur as sc
from chains import Chain, assert_cut_is_exact, refusal, rows, silenced_by_hooks
from footprint import untouched

pytestmark = pytest.mark.usefixtures("quiet")


# --- hooks ------------------------------------------------------------------------------------------------------------


def _hooked(where: str) -> nn.Module:
    model = Chain()
    match where:
        case "output":
            model.second.register_forward_hook(lambda _, given, out: 2 * out + given[0].mean(-1, keepdim=True))
        case "input":
            model.second.register_forward_pre_hook(lambda _, given: (3 * given[0],))
        case "input by keyword":
            model.second.register_forward_pre_hook(lambda _, a, k: ((3 * a[0],), k), with_kwargs=True)
        case "whole output":
            model.register_forward_hook(lambda _, given, out: out * given[0].sum())
        case "whole input":
            model.register_forward_pre_hook(lambda _, given: (given[0] - 1,))
        case "gradients":
            model.second.register_full_backward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("where", ["input", "input by keyword", "whole output", "whole input", "gradients"])
def test_what_hooks_change_is_followed_and_the_hooks_stay(where: str) -> None:
    model = _hooked(where)
    small = assert_cut_is_exact(model, {"first": (0, 3), "second": (4,)}, {"second": (0, 3), "last": (4,)})
    for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
        for one, other in zip(small.modules(), model.modules(), strict=True):
            assert list(vars(one)[kind].values()) == list(vars(other)[kind].values())


def test_a_statistic_that_a_hook_takes_of_units_leaves_the_removed_ones_out() -> None:
    model = _hooked("output")
    plan = sc.plan_of(sc.find_sites(model, rows(5, 4)), {"first": (0, 3)})
    small = sc.apply(model, plan, verify=True, example=rows(5, 4))
    hidden = model.first(rows(5, 4)).relu()[:, [1, 2, 4, 5]]
    second = hidden @ model.second.weight[:, [1, 2, 4, 5]].T + model.second.bias
    wanted = model.last((2 * second + hidden.mean(-1, keepdim=True)).relu())
    torch.testing.assert_close(small(rows(5, 4)), wanted)


def test_units_that_a_hook_weighs_one_by_one_stay() -> None:
    model = Chain()
    weights = torch.arange(5.0)
    model.second.register_forward_hook(lambda *given: given[-1] * weights)
    sites = sc.find_sites(model, rows(5, 4))
    assert sites.names == ("first",)
    assert ("second", 5, "mul") in [(pin.name, pin.units, pin.operator) for pin in sites.pinned]


# --- other kinds of modules -------------------------------------------------------------------------------------------


READY = "cut the model first, then quantise."


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_refused_by_name() -> None:
    import torch.ao.quantization as ao

    dynamic = ao.quantize_dynamic(Chain(), {nn.Linear})
    assert refusal(dynamic) == f"first: is quantised, or prepared for it (Linear); {READY}"
    prepared = nn.Sequential(ao.QuantStub(), nn.Linear(4, 6), nn.Linear(6, 3)).eval()
    prepared.qconfig = ao.get_default_qconfig("fbgemm")
    found = refusal(ao.prepare(prepared))
    assert found == f"0.activation_post_process: is quantised, or prepared for it (HistogramObserver); {READY}"


@pytest.mark.filterwarnings("ignore")
def test_scripted_modules_are_refused_by_name() -> None:
    remedy = "is a TorchScript module; cut the Python model it was made of, then script that."
    assert refusal(torch.jit.trace(Chain(), rows(5, 4))) == f"TopLevelTracedModule: {remedy}"
    model = Chain()
    model.second = torch.jit.script(model.second)
    assert refusal(model) == f"second: {remedy}"


def test_tensors_that_stand_for_others_are_refused_by_name() -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    model = Chain()
    model.second.weight = nn.Parameter(TwoTensor(rows(5, 6), rows(5, 6)))
    wanted = "second.weight: is a TwoTensor, which stands for other tensors; cut the model before it is made."
    assert refusal(model) == wanted


WRAPPERS = {"_orig_mod": lambda model: torch.compile(model, backend="eager"), "module": nn.DataParallel}


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_wrapped_model_is_cut_within_its_wrapper(prefix: str) -> None:
    model = WRAPPERS[prefix](Chain())
    with untouched(model):
        plan = sc.plan_of(sc.find_sites(model, rows(5, 4)), {f"{prefix}.first": (0, 3), f"{prefix}.second": (4,)})
        small = sc.apply(model, plan, verify=True, example=rows(5, 4))
    assert type(small) is type(model)
    inner = small.get_submodule(prefix)
    assert (inner.first.out_features, inner.second.out_features) == (4, 4)
    wanted = silenced_by_hooks(model.get_submodule(prefix), {"second": (0, 3), "last": (4,)}, rows(5, 4))
    torch.testing.assert_close(small(rows(5, 4)), wanted)
