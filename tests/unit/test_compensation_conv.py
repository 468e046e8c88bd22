"""Compensation of convolutions: windows against `unfold`, solutions against numpy, constants in norms, groups apart."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secateur.budget import plan_of
from secateur.compensation import Repaired, proposals, repair, walk
from secateur.compensation.layers import layers_of
from secateur.compensation.windows import Window, places_for, window_of
from secateur.finding import find_sites
from secateur.surgery import apply
from secateur.task import Task
from secateur.tracing import trace

FOLDS = ["mean", "least_squares", "reconstruct"]


def images(count: int = 60, channels: int = 3, size: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(model: nn.Sequential) -> nn.Sequential:
    """A network in float64 with weights and statistics of no special value, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


def repaired(model: nn.Module, x: Tensor, removed: dict[str, tuple[int, ...]], how: Any, batch: int = 16) -> Repaired:
    plan = plan_of(find_sites(model, x[:2]), removed)
    task = Task.regression(calibration=[(part, part) for part in x.split(batch)])
    return repair(apply(model, plan), model, plan, task, how=how)


def net(*middle: nn.Module, width: int = 6) -> nn.Sequential:
    torch.manual_seed(3)
    return shaken(nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Identity(), *middle))


# --- windows ----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.data())
def test_what_is_under_a_window_times_the_kernel_is_the_convolution(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3), "axes")
    kernel, stride, dilation = (tuple(data.draw(st.integers(1, 3)) for _ in range(axes)) for _ in range(3))
    sides = tuple(data.draw(st.integers(0, 2)) for _ in range(axes))
    groups = data.draw(st.sampled_from([1, 2, 3]), "groups")
    sizes = [data.draw(st.integers(3, 7)) for _ in range(axes)]
    assume(all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(sizes, sides, dilation, kernel, strict=True)))
    x, weight = torch.randn(3, 6, *sizes).double(), torch.randn(12, 6 // groups, *kernel).double()
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    wanted = convolve(x, weight, None, stride, sides, dilation, groups)
    window = Window(kernel, stride, tuple((side, side) for side in sides), dilation, groups)
    examples, places = places_for((3, *wanted.shape[2:]), before=0, total=3, columns=1)
    rows = window.patches(x, examples, places)
    found = torch.cat([part @ kern.flatten(1).T for part, kern in zip(rows, weight.chunk(groups), strict=True)], 1)
    torch.testing.assert_close(found, wanted[(examples, slice(None), *places)])
    assert len(found) == wanted[:, 0].numel()


@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_padding_by_name_is_the_windows(padding: str | int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, (5, 3), padding=padding, dilation=(1, 2)), nn.ReLU(), nn.Conv2d(4, 2, 1))
    traced = trace(model, torch.randn(2, 3, 9, 9))
    node = next(node for node in traced.nodes if node.op == "call_function")
    window = window_of(node)
    assert window is not None
    x = torch.randn(2, 3, 9, 9)
    out = model[0](x)
    examples, places = places_for((2, *out.shape[2:]), before=0, total=2, columns=1)
    rows = window.patches(x, examples, places)[0] @ model[0].weight.flatten(1).T + model[0].bias
    torch.testing.assert_close(rows, out[(examples, slice(None), *places)], rtol=1e-4, atol=1e-5)


def test_places_are_drawn_where_there_are_many() -> None:
    examples, places = places_for((4, 100, 100), before=0, total=1024, columns=9)
    assert len(examples) == 4 * 60
    assert all(int(place.max()) > 90 for place in places)
    assert torch.equal(examples.bincount(), torch.full((4,), 60))


# --- theorems ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["least_squares", "reconstruct"])
@pytest.mark.parametrize("padding", [0, 1])
def test_channels_that_depend_on_the_others_are_handed_over_without_loss(how: str, padding: int) -> None:
    """Six linear maps of one image through a 1×1 kernel of three channels: any three tell the others."""
    torch.manual_seed(3)
    model = shaken(nn.Sequential(nn.Conv2d(3, 6, 1, bias=False), nn.Identity(), nn.Conv2d(6, 4, 3, padding=padding)))
    x = images()
    found = repaired(model, x, {"0": (1, 4)}, how)
    assert found.folds[0].used == how
    assert found.folds[0].error_before > 1e-2
    torch.testing.assert_close(found.model(x), model(x), rtol=0, atol=2e-2)
    assert found.folds[0].error_after < 1e-5


@pytest.mark.parametrize("groups", [1, 2])
def test_a_kernel_is_the_least_squares_solution_of_numpy(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "RIDGES", (1e-10,))
    model, x = net(nn.Tanh(), nn.Conv2d(6, 8, 3, stride=2, groups=groups)), images(100)
    gone = (1, 4)  # of two groups, one unit: the second channel of each
    found = repaired(model, x, {"0": gone[:1] if groups == 2 else gone}, "reconstruct").model
    kept = [unit for unit in range(6) if unit not in gone]
    hidden, wanted = model[:3](x)[:, kept].detach(), model(x).detach()
    fitted = torch.arange(100) % 5 != 4
    for group, (inputs, outputs) in enumerate(zip(hidden.chunk(groups, 1), wanted.chunk(groups, 1), strict=True)):
        columns = F.unfold(inputs[fitted], 3, stride=2).movedim(1, -1).flatten(0, 1).numpy()
        rows = np.concatenate([columns, np.ones((len(columns), 1))], 1)
        best = np.linalg.lstsq(rows, outputs[fitted].flatten(2).movedim(1, -1).flatten(0, 1).numpy(), rcond=None)[0]
        layer = found.get_submodule("3")
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        weight = layer.weight.chunk(groups)[group].flatten(1).T.detach().numpy()
        np.testing.assert_allclose(weight, best[:-1], atol=1e-6)
        np.testing.assert_allclose(layer.bias.chunk(groups)[group].detach().numpy(), best[-1], atol=1e-6)


@pytest.mark.parametrize("how", FOLDS)
def test_a_constant_goes_into_the_running_mean_of_a_norm(how: str) -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4))
    with torch.no_grad():
        model[0].weight[[1, 4]] = 0.0
        model[0].bias[[1, 4]] = 2.0
    x = images()
    found = repaired(model, x, {"0": (1, 4)}, how)
    assert found.folds[0].used == how
    assert found.plan.biased == ()
    torch.testing.assert_close(found.model(x), model(x), rtol=0, atol=2e-2 if how == "reconstruct" else 1e-6)
    norms = found.model.get_submodule("4"), model.get_submodule("4")
    assert not torch.equal(*(norm.running_mean for norm in norms))
    assert all(torch.equal(a, b) for a, b in zip(norms[0].parameters(), norms[1].parameters(), strict=True))


def test_a_convolution_without_bias_or_norm_gains_one() -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False))
    found = repaired(model, images(), {"0": (1, 4)}, "reconstruct")
    assert found.plan.biased == ("3",)
    assert found.model.get_parameter("3.bias").abs().max() > 1e-3


def test_a_norm_that_silences_a_channel_leaves_it_alone() -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4))
    with torch.no_grad():
        model[4].weight[2] = 0.0
    found = repaired(model, images(), {"0": (1, 4)}, "reconstruct")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in found.model.state_dict().values())
    assert found.folds[0].error_after < found.folds[0].error_before


class Residual(nn.Module):
    """Two blocks on one stream, each a branch of two convolutions with norms, and a shortcut that runs last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.ins = nn.ModuleList(nn.Conv2d(6, 8, 3, padding=1) for _ in range(2))
        self.outs = nn.ModuleList(nn.Conv2d(8, 6, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for first, last, norm in zip(self.ins, self.outs, self.norms, strict=True):
            branch = norm(last(F.relu(first(x))))
            x = branch + F.pad(x[:, :, :, :], (0, 0))
        return x


def test_where_a_layer_ends_a_branch_the_sum_meets_the_originals() -> None:
    model = shaken(Residual())  # type: ignore[arg-type]
    x = images(100)
    removed = {"ins.0": (0, 1, 2, 3), "ins.1": (0, 5)}
    found, other = (repaired(model, x, removed, how).model for how in ("reconstruct", "least_squares"))
    errors = [float((net(x) - model(x)).detach().square().mean()) for net in (found, other)]
    assert errors[0] < 0.8 * errors[1]


def test_a_bias_of_zeros_before_a_norm_makes_no_difference() -> None:
    without, with_one = (shaken(Residual()) for _ in range(2))  # type: ignore[arg-type]
    for model in (without, with_one):
        for norm in model.norms:
            nn.init.constant_(norm.weight, 0.2)
    for conv in with_one.outs:
        conv.bias = nn.Parameter(torch.zeros(6).double())
    x = images(100)
    removed = {"ins.0": (0, 1, 2, 3), "ins.1": (0, 5)}
    found, wanted = (repaired(model, x, removed, "reconstruct").model for model in (with_one, without))
    torch.testing.assert_close(found(x), wanted(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", FOLDS)
@pytest.mark.parametrize("batch", [1, 7])
def test_how_images_are_batched_does_not_matter(how: str, batch: int) -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
    x = images(40)
    found, wanted = (repaired(model, x, {"0": (1, 4)}, how, size).model for size in (batch, 40))
    for one, other in zip(found.state_dict().values(), wanted.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_what_is_drawn_for_an_image_does_not_depend_on_its_batch() -> None:
    whole = places_for((10, 90, 90), before=0, total=1024, columns=9)[1][0]
    parts = [places_for((5, 90, 90), before=start, total=1024, columns=9)[1][0] for start in (0, 5)]
    assert torch.equal(torch.cat(parts), whole)


def test_depthwise_convolutions_pass_the_work_on_to_the_next() -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(), nn.Conv2d(6, 4, 1))
    x = images(100)
    plan = plan_of(find_sites(model, x[:2]), {"0": (1, 4)})
    assert [layer.name for layer in layers_of(trace(model, x[:2]), plan)] == ["5"]
    found = repaired(model, x, {"0": (1, 4)}, "reconstruct")
    assert found.folds[0].error_after < 0.8 * found.folds[0].error_before


def test_layers_after_those_that_read_removed_units_mend_what_is_left() -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1))
    x = images(200)
    found = repaired(model, x, {"0": (1, 4)}, "reconstruct")
    assert [fold.layer for fold in found.folds] == ["3", "5", "7"]
    assert all(fold.error_after < fold.error_before for fold in found.folds)
    assert [fold.layer for fold in repaired(model, x, {"0": (1, 4)}, "least_squares").folds] == ["3"]


def test_a_weight_that_is_used_twice_is_not_solved_anew_for_one_use() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.same = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.second(self.first(x).relu())
            return self.same(self.same(x).relu())

    x = torch.randn(100, 4)
    plan = plan_of(find_sites(Twice(), x), {"first": (0,)})
    assert [layer.name for layer in layers_of(trace(Twice(), x), plan, downstream=True)] == ["second"]


def test_a_layer_that_is_too_wide_is_left_alone_and_says_what_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4))
    x = images()
    whole = repaired(model, x, {"0": (1, 4)}, "mean").folds[0]
    monkeypatch.setattr(walk, "MOST_COLUMNS", 35)
    (fold,) = repaired(model, x, {"0": (1, 4)}, "mean").folds
    assert fold.used == "none"
    assert fold.error_after == fold.error_before == pytest.approx(whole.error_before, rel=1e-9)
    assert fold.reason == "its 36 inputs are too many to solve for; 35 are the most"


@pytest.mark.parametrize("how", FOLDS)
def test_depthwise_convolutions_after_a_cut_stand_and_the_layers_that_mix_channels_mend(how: str) -> None:
    first, second = (nn.Conv2d(width, width, 3, padding=1, groups=width) for width in (6, 5))
    middle = (nn.ReLU(), first, nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU(), second, nn.ReLU(), nn.Conv2d(5, 4, 1))
    model, x = net(*middle), images()
    removed: dict[str, tuple[int, ...]] = {"0": (1, 4), "5": (2,)}
    small, mended = (repaired(model, x, removed, way) for way in ("none", how))
    assert torch.equal(mended.model.get_submodule("3").weight, first.weight[[0, 2, 3, 5]])
    assert torch.equal(mended.model.get_submodule("7").weight, second.weight[[0, 1, 3, 4]])
    assert [fold.layer for fold in mended.folds] == ["5", "9"]
    with torch.no_grad():
        before, after = (F.mse_loss(part.model(x), model(x)) for part in (small, mended))
    assert after < before
