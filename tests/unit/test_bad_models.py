"""Models and examples that torch.export cannot follow are refused by name and line; modes and types do no harm."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from chains import Chain, assert_cut_is_exact, refusal, rows
from secateur.errors import DataError

pytestmark = pytest.mark.usefixtures("quiet")


NO_VALUES = (
    "decide there without the data's values: torch.where in place of an if, a fixed number of steps for a loop, no "
    ".item(), .tolist(), .numpy() or assert."
)


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
