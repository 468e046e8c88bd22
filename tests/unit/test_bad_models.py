"""Models that torch.export, a copy or a cut cannot follow are refused by name; those that can be are cut exactly."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import secateur as sc
from footprint import untouched
from secateur.errors import CompressionError, DataError, ModelError

Gone = Mapping[str, Sequence[int]]

NO_VALUES = (
    "decide there without the data's values: torch.where in place of an if, a fixed number of steps for a loop, no "
    ".item(), .tolist(), .numpy() or assert."
)


class Chain(nn.Module):
    """Three layers; what stands between them is for those who derive from it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.second(self.first(x).relu())).relu())

    def between(self, hidden: Tensor) -> Tensor:
        return hidden


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def silenced_by_hooks(model: nn.Module, readers: Gone, x: Tensor) -> Tensor:
    """What a model puts out in eval mode when units are zero where layers read them, by torch's own hooks."""
    silent = copy.deepcopy(model).eval()
    for name, units in readers.items():
        gone = list(units)

        def zeroed(_: nn.Module, given: tuple[Tensor], gone: list[int] = gone) -> tuple[Tensor]:
            return (given[0].index_fill(-1, torch.tensor(gone), 0.0),)

        silent.get_submodule(name).register_forward_pre_hook(zeroed)
    return silent(x)


def assert_cut_is_exact(model: nn.Module, removed: Gone, readers: Gone, x: Tensor | None = None) -> nn.Module:
    """Cut, verified, equal to silencing by hooks, and the model left as it was; gives the cut network."""
    x = rows(5, 4) if x is None else x
    with untouched(model):
        small = sc.apply(model, sc.plan_of(sc.find_sites(model, x), removed), verify=True, example=x)
    assert [m.training for m in small.modules()] == [m.training for m in model.modules()]
    wanted = silenced_by_hooks(model, readers, x)
    tolerance = 1e-5 if x.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(copy.deepcopy(small).eval()(x), wanted, rtol=tolerance, atol=tolerance)
    return small


def refusal(model: nn.Module, example: Any = None, kind: type[CompressionError] = ModelError) -> str:
    with pytest.raises(kind) as raised:
        sc.find_sites(model, rows(5, 4) if example is None else example)
    return str(raised.value)


def line(code: str) -> str:
    """Where a line of this file is, as errors say it."""
    source = Path(__file__).read_text().splitlines()
    return f"{__file__}:{[text.strip() for text in source].index(code) + 1} ({code})"


# --- control flow that depends on the data ----------------------------------------------------------------------------


class Branch(Chain):
    def between(self, hidden: Tensor) -> Tensor:
        if hidden.sum() > 0:
            hidden = -hidden
        return hidden


class Loop(Chain):
    def between(self, hidden: Tensor) -> Tensor:
        while hidden.norm() > 1:
            hidden = hidden / 2
        return hidden


class Counted(Chain):
    def between(self, hidden: Tensor) -> Tensor:
        times = int(hidden.abs().max().item())
        return hidden * times


class Checked(Chain):
    def between(self, hidden: Tensor) -> Tensor:
        assert hidden.abs().max() < 100
        return hidden


class Outside(Chain):
    def between(self, hidden: Tensor) -> Tensor:
        return torch.from_numpy(hidden.detach().numpy())


class Picked(Chain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[x[:, 0] > 0])


GUARD = "Could not guard on data-dependent expression Eq(u0, 1)"
FOLLOWED = [
    (Branch, "if hidden.sum() > 0:", GUARD),
    (Loop, "while hidden.norm() > 1:", GUARD),
    (Counted, "times = int(hidden.abs().max().item())", "Could not extract specialized integer from data-dependent"),
    (Checked, "assert hidden.abs().max() < 100", GUARD),
    (Outside, "return torch.from_numpy(hidden.detach().numpy())", ".numpy() is not supported for tensor subclasses"),
]


@pytest.mark.parametrize(("kind", "code", "reason"), FOLLOWED, ids=[kind.__name__ for kind, *_ in FOLLOWED])
def test_a_decision_by_the_data_is_refused_with_its_line(kind: type[Chain], code: str, reason: str) -> None:
    found = refusal(kind())
    assert found.startswith(f"{kind.__name__}: torch.export cannot follow its forward: {reason}")
    assert found.endswith(f", at {line(code)}; {NO_VALUES}")


def test_a_size_that_the_data_decides_is_refused_with_its_line() -> None:
    where = line("return super().forward(x[x[:, 0] > 0])")
    assert refusal(Picked()) == (
        f"Picked: the data's values decide how large a tensor is, at {where}; keep its size, and put zeros in place of "
        "what is left out (torch.where)."
    )


# --- wrong examples ---------------------------------------------------------------------------------------------------


class Named(Chain):
    def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
        return super().forward(x) * scale


WRONG = {
    "width": (rows(5, 7), "mat1 and mat2 shapes cannot be multiplied (5x7 and 4x6)", "float32 [5, 7]"),
    "type": (rows(5, 4).double(), "mat1 and mat2 must have the same dtype, but got Double and Float", "float64 [5, 4]"),
    "whole numbers": (torch.ones(5, 4).long(), "mat1 and mat2 must have the same dtype, but got Long", "int64 [5, 4]"),
    "one too many": ((rows(5, 4), 3), "Chain.forward() takes 2 positional arguments but 3 were", "[5, 4], a int"),
    "unknown name": ({"y": rows(5, 4)}, "Chain.forward() got an unexpected keyword argument 'y'", "y=float32 [5, 4]"),
    "no tensor": (([1.0] * 4,), "linear(): argument 'input' (position 1) must be Tensor, not list", "a list"),
    "nothing": ((), "Chain.forward() missing 1 required positional argument: 'x'", "nothing"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_example_is_refused_with_what_was_given(what: str) -> None:
    example, reason, given = WRONG[what]
    found = refusal(Chain(), example)
    assert found.startswith(f"Chain: fails on the example: {reason}")
    assert found.endswith(f"{given}.")
    assert "; give inputs as the model is called, not " in found
    assert "\n" not in found


def test_a_missing_keyword_is_refused_by_name() -> None:
    assert refusal(Named(), {"x": rows(5, 4)}) == (
        "Named: fails on the example: Named.forward() missing 1 required keyword-only argument: 'scale'; give inputs "
        "as the model is called, not x=float32 [5, 4]."
    )
    assert sc.find_sites(Named(), {"x": rows(5, 4), "scale": rows(1)}).names == ("first", "second")


def test_what_fails_in_the_models_own_code_is_refused_with_its_line() -> None:
    class Four(Chain):
        def between(self, hidden: Tensor) -> Tensor:
            assert hidden.shape[1] == 4, f"four, not {hidden.shape[1]}"
            return hidden

    where = line('assert hidden.shape[1] == 4, f"four, not {hidden.shape[1]}"')
    assert refusal(Four()).startswith(f"Four: fails on the example: four, not 5, at {where}; give inputs")


def test_an_example_without_rows_or_of_nan_is_refused() -> None:
    empty = "Chain: input 0 of the example has shape [0, 4]; give it at least one row."
    assert refusal(Chain(), torch.zeros(0, 4), DataError) == empty
    holed = rows(5, 4)
    holed[1, 2:] = torch.nan
    nan = "Chain: 2 of 20 values of input 0 of the example are NaN; clean the data first."
    assert refusal(Chain(), holed, DataError) == nan


# --- modes and types --------------------------------------------------------------------------------------------------


def test_a_model_in_training_mode_is_cut_as_in_eval_mode_and_stays_in_it() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)).train()
    model(rows(9, 4))
    training = assert_cut_is_exact(model, {"0": (1, 4)}, {"4": (1, 4)})
    evaluated = assert_cut_is_exact(copy.deepcopy(model).eval(), {"0": (1, 4)}, {"4": (1, 4)})
    assert training.training
    assert not evaluated.training
    for one, other in zip(training.state_dict().values(), evaluated.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision_is_cut_exactly(dtype: torch.dtype) -> None:
    gone = {"first": (0, 3), "second": (4,)}
    small = assert_cut_is_exact(Chain().to(dtype), gone, {"second": (0, 3), "last": (4,)}, rows(5, 4).to(dtype))
    assert {parameter.dtype for parameter in small.parameters()} == {dtype}


def test_outputs_that_are_masked_out_are_compared_where_they_are_finite() -> None:
    class Masked(Chain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).masked_fill(torch.tensor([False, True, False]), -torch.inf)

    assert_cut_is_exact(Masked(), {"first": (0, 1)}, {"second": (0, 1)})


def test_a_mask_of_infinities_in_a_buffer_is_no_damage() -> None:
    class Causal(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.full((5, 5), -torch.inf).triu(1))

        def between(self, hidden: Tensor) -> Tensor:
            return (hidden @ hidden.T + self.mask).softmax(-1) @ hidden

    assert sc.find_sites(Causal(), rows(5, 4)).names == ("first", "second")


# --- weights without values, of their own kind, in others' memory -----------------------------------------------------


def _meta_buffer() -> nn.Module:
    model = Chain()
    model.register_buffer("table", torch.zeros(3, device="meta"), persistent=False)
    return model


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Chain().to("meta"), "first.weight"),
        (lambda: nn.Sequential(nn.Linear(4, 6), nn.LazyLinear(3)), "1.weight"),
        (_meta_buffer, "table"),
    ],
    ids=["meta", "lazy", "buffer"],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_weights_without_values_are_refused_by_name(make: Callable[[], nn.Module], name: str) -> None:
    wanted = f"{name}: has no values yet; run the model once, on a device other than meta, first."
    assert refusal(make()) == wanted


def test_parameters_that_share_memory_by_halves_are_refused_and_those_side_by_side_are_cut() -> None:
    model = Chain()
    memory = rows(60)
    model.second.weight = nn.Parameter(memory[:30].view(5, 6))
    model.first.weight = nn.Parameter(memory[30:54].view(4, 6).t())
    assert_cut_is_exact(model, {"first": (0, 3), "second": (4,)}, {"second": (0, 3), "last": (4,)})
    model.first.weight = nn.Parameter(memory[29:53].view(6, 4))
    assert refusal(model) == (
        "second.weight: shares its memory with first.weight, but is another parameter; make them one "
        "(model.second.weight = model.first.weight), or give it memory of its own."
    )


def test_a_parameter_of_one_entry_expanded_is_refused() -> None:
    model = Chain()
    model.first.bias = nn.Parameter(torch.ones(1).expand(6))
    wanted = "first.bias: 6 entries that are one in memory (expanded); give each its own (contiguous())."
    assert refusal(model) == wanted


def test_a_module_called_twice_is_cut_for_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.shared(self.shared(self.first(x).relu()).relu()).relu())

    small = assert_cut_is_exact(Twice(), {"first": (1, 2)}, {"shared": (1, 2), "last": (1, 2)})
    assert small.shared.weight.shape == (4, 4)


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


# --- weights that are computed from others ----------------------------------------------------------------------------

COMPUTED = {"weight_norm": parametrizations.weight_norm, "spectral_norm": parametrizations.spectral_norm}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_beside_a_parametrized_one_is_cut_and_that_one_left_alone(name: str, training: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 3))
    COMPUTED[name](model[1])
    model.train(training)
    with untouched(model):
        sites = sc.find_sites(model, rows(5, 4))
        small = sc.apply(model, sc.plan_of(sites, {"3": (0, 2)}), verify=True, example=rows(5, 4))
    assert "0" not in sites.names
    assert parametrize.is_parametrized(small[1])
    for one, other in zip(small[1].state_dict().values(), model[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    reader = model[4].weight[:, [1, 3, 4]]
    wanted = model.eval()[:4](rows(5, 4))[:, [1, 3, 4]] @ reader.T + model[4].bias
    torch.testing.assert_close(small.eval()(rows(5, 4)), wanted)


@pytest.mark.parametrize("name", COMPUTED)
def test_where_parametrized_layers_hold_everything_the_way_out_is_named(name: str) -> None:
    model = Chain()
    for layer in (model.first, model.second, model.last):
        COMPUTED[name](layer)
    found = refusal(model)
    assert found.startswith("Chain: nothing can be removed: ")
    remedy = 'torch.nn.utils.parametrize.remove_parametrizations(model.first, "weight")'
    assert found.endswith(f" first.weight is computed by a parametrization; bake it in first: {remedy}.")
    for layer in (model.first, model.second, model.last):
        parametrize.remove_parametrizations(layer, "weight")
    assert_cut_is_exact(model, {"first": (0, 3), "second": (4,)}, {"second": (0, 3), "last": (4,)})


def _old_weight_norm(model: Chain) -> None:
    torch.nn.utils.weight_norm(model.second)


def _pruned(model: Chain) -> None:
    prune.l1_unstructured(model.second, "weight", 0.3)


def _left_over(model: Chain) -> None:
    model.second.answer = model.first(rows(5, 4))


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    ("change", "name"), [(_old_weight_norm, "weight"), (_pruned, "weight"), (_left_over, "answer")]
)
def test_results_that_lie_on_modules_are_refused_by_name(change: Callable[[Chain], None], name: str) -> None:
    model = Chain()
    change(model)
    assert refusal(model) == (
        f"Chain: the model cannot be copied: second.{name} is a result with its gradients' graph, left from an earlier "
        "pass; bake it in (remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils) or delete it."
    )


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


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """torch logs and prints what it cannot follow."""
    caplog.set_level("CRITICAL")
    capsys.readouterr()
