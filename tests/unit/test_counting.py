"""Counting: multiply-adds are those that torch and fvcore count, whatever the batch; what is not counted is said."""

import warnings
from fractions import Fraction
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import counted
from architectures import ACTIVATIONS
from counted import EQUATIONS, ROWS, Applied, Arguments, Text, rows, text
from oracles import memory
from secateur.counting import Count, count
from secateur.counting.contraction import contraction
from secateur.graph import Traced
from secateur.tracing import trace

CONVOLUTIONS = counted.convolutions()
NETWORKS = {**CONVOLUTIONS, **counted.products()}
# Operators that fvcore has no handle for, and a product of stacks, which it takes for a product of matrices.
UNKNOWN_TO_FVCORE = {"same", "valid", "matmul of stacks", "baddbmm", "tensordot", "grouped queries"}
# What operators take for themselves, beside what they give: means and deviations, sums of exponentials, copies.
INSIDE = {"mlp": 8, "tensordot": 160, "attention": 40}
PRODUCTS_OF_FVCORE = ("conv", "linear", "matmul", "mm", "bmm", "addmm", "einsum")


@cache
def traced_of(name: str) -> Traced:
    return trace(*NETWORKS[name])


def count_of(name: str) -> Count:
    return count(traced_of(name))


def counted_by_torch(model: nn.Module, arguments: Arguments) -> float:
    """Multiply-adds of one call; gradients are on and attention is written out, so that no operator hides others."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.eval()(*arguments)
    return counter.get_total_flops() / 2


def counted_by_fvcore(model: nn.Module, arguments: Arguments) -> float:
    """Multiply-adds of one call in products, which fvcore calls flops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit, which it rests on, is to go
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model.eval(), arguments)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        found = analysis.by_operator()
    return sum(found[name] for name in PRODUCTS_OF_FVCORE)


# --- multiply-adds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_multiply_adds_of_a_row_are_half_of_the_flops_that_torch_counts(name: str) -> None:
    assert count_of(name).macs * ROWS == counted_by_torch(*NETWORKS[name]) > 0
    assert count_of(name).uncounted == {}


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in UNKNOWN_TO_FVCORE])
def test_multiply_adds_of_a_row_are_those_that_fvcore_counts(name: str) -> None:
    fused = {"attention", "TransformerEncoderLayer", "TransformerDecoderLayer"}  # whose products fvcore leaves out
    attention = count_of(name).macs_by_operator.get("scaled_dot_product_attention", 0)
    assert (attention > 0) == (name in fused)
    assert (count_of(name).macs - attention) * ROWS == counted_by_fvcore(*NETWORKS[name])


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_einsum_costs_what_torch_multiplies(equation: str) -> None:
    operands = [rows(5, 8), *(torch.randn(shape) for shape in EQUATIONS[equation])]
    with FlopCounterMode(display=False) as counter:
        torch.einsum(equation, *operands)
    assert contraction(equation, [tuple(map(Fraction, o.shape)) for o in operands]) == counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("function", "weights", "macs"),
    [
        (lambda x, w: torch.mv(x.flatten(1), w), [(40,)], 40),
        (lambda x, w: x[:, 0] @ w, [(8,)], 8),
        (lambda x, w: x.sum((0, 1)).dot(w) + x, [(8,)], 8),
        (lambda x, b, w: torch.addmv(b, x.flatten(1), w), [(1,), (40,)], 40),
        (lambda x, b: torch.addbmm(b, x.mT, x), [(8, 8)], 8 * 5 * 8),
        (lambda x, w: torch.einsum("bij,jk,ki->bi", x, w, w.mT[:, :5]), [(8, 8)], 5 * 8 * 8 + 5 * 8),
        (lambda x, w: F.embedding((x > 0).long(), w), [(4, 3)], 0),
    ],
)
def test_products_that_torch_does_not_count_have_the_cost_of_their_formula(
    function: object, weights: list[tuple[int, ...]], macs: int
) -> None:
    assert count(trace(Applied(function, *weights), rows(5, 8))).macs == macs  # type: ignore[arg-type]


def test_operators_are_told_apart() -> None:
    assert count_of("attention written out").macs_by_operator == {
        "linear": 5 * 8 * 24 + 5 * 8 * 8,
        "matmul": 2 * 5 * 5 * 8,
    }


def test_a_row_costs_the_same_whatever_the_example_even_where_rows_share_work() -> None:
    model = Text().eval()
    first, second = (count(trace(model, tuple(value.repeat(2, 1)[:batch] for value in text()))) for batch in (1, 5))
    assert first == second
    assert first.macs == counted_by_torch(model, tuple(value[:1] for value in text()))


def test_rows_that_only_count_together_share_the_cost() -> None:
    pairs = Applied(lambda x, w: x.reshape(-1, 16) @ w, (16, 3))
    assert count(trace(pairs, torch.randn(4, 8))).macs == 16 * 3 / 2
    fixed = Applied(lambda x, w: x.view(4, 8) @ w, (8, 3))
    assert count(trace(fixed, torch.randn(4, 8))).macs == 8 * 3


def test_inputs_of_another_length_than_the_first_are_no_rows() -> None:
    model = Applied(lambda x, y: x @ y.mT)
    assert count(trace(model, (rows(8), torch.randn(5, 8)))).macs == 5 * 8


def test_a_model_without_products_costs_nothing() -> None:
    assert count(trace(nn.ReLU(), rows(4))).macs_by_operator == {}


def test_layers_in_blocks_of_their_own_are_counted() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                x = self.layer(x)
            with torch.enable_grad():
                return self.layer(x)

    assert count(trace(Blocks(), rows(8))).macs_by_operator == {"linear": 2 * 64}


# --- what is not counted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (nn.LSTM(8, 4, batch_first=True), "lstm"),
        (nn.GRU(8, 4, batch_first=True), "gru"),
        (nn.RNN(8, 4, batch_first=True), "rnn_tanh"),
        (Applied(lambda x: torch.fft.rfft(x).real), "fft_rfft"),
        (Applied(lambda x: torch.cdist(x, x)), "cdist"),
        (Applied(lambda x, w: F.bilinear(x, x, w), (3, 8, 8)), "bilinear"),
        (Applied(lambda x: torch.linalg.inv(x @ x.mT + 9 * torch.eye(5))), "linalg_inv"),
    ],
)
def test_operators_that_nobody_here_can_count_are_named(model: nn.Module, name: str) -> None:
    assert count(trace(model, rows(5, 8))).uncounted == {name: 1}


def test_an_operator_of_another_library_is_not_taken_for_torchs_of_the_same_name() -> None:
    with torch.library._scoped_library("secateur_tests", "DEF") as library:
        library.define("linear(Tensor x, Tensor w) -> Tensor")
        library.impl("linear", lambda x, w: x @ w.mT, "CompositeExplicitAutograd")
        model = Applied(lambda x, w: torch.ops.secateur_tests.linear(torch.ops.secateur_tests.linear(x, w), w), (8, 8))
        found = count(trace(model, rows(8)))
    assert (found.macs, found.uncounted) == (0, {"secateur_tests::linear": 2})


def test_a_product_of_as_many_rows_as_the_data_say_is_not_counted() -> None:
    found = count(trace(Applied(lambda x, w: x[x[:, 0] > 0] @ w, (8, 3)), rows(8)))
    assert (found.macs, found.uncounted, found.peak_activation_bytes) == (0, {"matmul": 1}, 0)


FREE = [
    *(make() for make in ACTIVATIONS.values()),
    *(nn.ReLU(True), nn.Threshold(0.1, 1.0), nn.GLU(1), nn.Softmax(1), nn.LogSoftmax(1), nn.Dropout(), nn.Dropout2d()),
    *(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm((6, 6)), nn.RMSNorm(6)),
    *(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(2), nn.LPPool2d(2, 2)),
    *(nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.PixelShuffle(2)),
    *(nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.Flatten(), nn.Unflatten(1, (2, 2)), nn.ZeroPad2d(1)),
    *(nn.ReflectionPad2d(1), nn.CircularPad2d(1), nn.Unfold(2), nn.LocalResponseNorm(2), nn.Identity()),
    Applied(lambda x: torch.cat([*x.chunk(2, 1), x[:, :1]], 1).roll(1, 1).flip(2).repeat(1, 2, 1, 1).sum(1)),
    Applied(lambda x: torch.where(x > 0, x, x.cumsum(1)).masked_fill(x < -1, 0.0).std(1).clamp_(0).sqrt()),
    Applied(lambda x: ((x > 0) & (x < 1) | (x == 2) ^ ~(x != 3)).detach().float()),
    Applied(lambda x: torch.stack(x.unbind(1), 1).permute(0, 2, 3, 1).expand(-1, -1, -1, 4).tril().topk(2).values),
    Applied(lambda x: F.grid_sample(x, x[:, :2].movedim(1, -1), align_corners=False).gather(1, x.argsort(1))),
]


def test_entry_by_entry_operators_norms_pools_and_turns_cost_nothing() -> None:
    class Every(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(FREE)

        def forward(self, x: Tensor) -> list[Tensor]:
            return [layer(x.clone()) for layer in self.layers]

    found = count(trace(Every(), rows(4, 6, 6)))
    assert (found.macs, found.uncounted) == (0, {})


# --- memory -----------------------------------------------------------------------------------------------------------


def test_memory_of_a_chain_is_that_of_the_largest_step() -> None:
    chain = nn.Sequential(nn.Linear(4, 32), nn.Linear(32, 16), nn.Linear(16, 2))
    assert count(trace(chain, rows(4))).peak_activation_bytes == 4 * (4 + 32 + 16)  # the input is held to the end


def test_memory_of_a_skip_is_held_until_the_sum() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.wide, self.back = nn.Linear(4, 8), nn.Linear(8, 32), nn.Linear(32, 8)

        def forward(self, x: Tensor) -> Tensor:
            skip = self.into(x)
            return skip + self.back(self.wide(skip))

    assert count(trace(Skip(), rows(4))).peak_activation_bytes == 4 * (4 + 8 + 32 + 8)


@pytest.mark.parametrize(
    ("layer", "entries"),
    [
        (nn.ReLU(), 16),
        (nn.ReLU(inplace=True), 0),
        (nn.Dropout(), 0),
        (nn.Flatten(), 0),
        (Applied(lambda x: x.view(-1, 4, 4).transpose(1, 2)[:, 1:].unsqueeze(1).expand(-1, 3, -1, -1)), 0),
        (Applied(lambda x: torch.cat(x.chunk(2, 1)[:1], 1)), 8),
        (Applied(lambda x: x.view(-1, 4, 4).transpose(1, 2).reshape(-1, 16)), 16),
        (Applied(lambda x: x > 0), 4),  # of one byte each
        (Applied(lambda x: x.double()), 32),
    ],
)
def test_views_and_operators_in_place_take_no_memory(layer: nn.Module, entries: int) -> None:
    found = count(trace(nn.Sequential(nn.Linear(4, 16), layer), rows(4)))
    assert found.peak_activation_bytes == 4 * (4 + 16 + entries)


def test_weights_take_no_memory_but_what_is_computed_from_them_does() -> None:
    assert count(trace(Applied(lambda x, w: x @ w.t(), (3, 8)), rows(8))).peak_activation_bytes == 4 * (8 + 3)
    assert count(trace(Applied(lambda x, w: x @ w.exp(), (8, 3)), rows(8))).peak_activation_bytes == 4 * (8 + 24 + 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_is_that_of_the_values_alive_at_once_when_the_graph_runs(name: str) -> None:
    model, arguments = NETWORKS[name]
    traced = traced_of(name)
    one = tuple(value[:1].clone() for value in arguments)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION) if name != "grouped queries" else sdpa_kernel(SDPBackend.MATH):
        found = memory.peak_bytes(lambda *args: traced.run((args, {})), one, model)
    inside = found - count(traced).peak_activation_bytes
    assert inside == INSIDE.get(name, 0) or name == "grouped queries"


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "tokens", "matmul", "addmm", "bmm"])
def test_memory_is_that_of_the_model_itself_where_it_lets_go_of_what_it_is_done_with(name: str) -> None:
    model, arguments = NETWORKS[name]
    one = tuple(value[:1].clone() for value in arguments)
    assert count_of(name).peak_activation_bytes == memory.peak_bytes(model.eval(), one, model)
