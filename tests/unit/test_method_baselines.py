"""The baselines on convolutions: literal loops over maps, gradients against a gate that is really there."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from secateur import methods
from secateur.errors import DataError, ModelError
from secateur.finding import find_sites
from secateur.task import Task

IMAGES = 9


class Net(nn.Module):
    """A residual sum, a concatenation and a flattened end: units that several layers make and several read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.inner, self.scale = nn.Conv2d(4, 5, 3, padding=1), nn.GroupNorm(1, 5)
        self.outer = nn.Conv2d(5, 4, 3, padding=1)
        self.side = nn.Conv2d(4, 3, 1)
        self.last = nn.Linear(7 * 4, 3)
        for module in (self.norm, self.scale):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
        self.double().eval()

    def forward(self, x: Tensor, gates: dict[str, Tensor] | None = None) -> Tensor:
        """Class scores; gates [images, units] stand where units are read."""

        def gated(name: str, value: Tensor) -> Tensor:
            return value if gates is None else value * gates[name][:, :, None, None]

        stem = self.norm(self.stem(x)).relu()
        inner = self.scale(self.inner(gated("stem", stem))).relu()
        both = stem + self.outer(gated("inner", inner))
        side = self.side(gated("stem", both)).relu()
        ends = torch.cat([gated("stem", both), gated("side", side)], 1)
        return self.last(nn.functional.max_pool2d(ends, 4).flatten(1))


def data(images: int = IMAGES) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(images, 3, 8, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (images,), generator=generator)


def task_of(batch: int = 4) -> Task:
    return Task.classification(calibration=list(zip(*(part.split(batch) for part in data()), strict=True)))


def scored(name: str, model: nn.Module | None = None, **settings: object) -> dict[str, Tensor]:
    model, task = model or Net(), task_of()
    return dict(methods.score(model, find_sites(model, task), task, methods.get(name, **settings)).values)


def model_of() -> Net:
    torch.manual_seed(2)
    return Net()


# --- taylor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 2])
def test_taylor_is_the_slope_of_each_images_loss_in_a_gate_on_each_unit(power: int) -> None:
    model, (x, y) = model_of(), data()
    found = scored("taylor", model, power=power)
    widths = {"stem": 4, "inner": 5, "side": 3}
    assert found.keys() == widths.keys()
    totals = {name: np.zeros(width) for name, width in widths.items()}
    for image in range(IMAGES):
        for name, width in widths.items():
            for unit in range(width):
                slope = _slope(model, x[image : image + 1], y[image : image + 1], (name, unit))
                totals[name][unit] += abs(slope) ** power / IMAGES
    for name, total in totals.items():
        np.testing.assert_allclose(found[name].numpy(), total, rtol=1e-5, atol=1e-9)


def _slope(model: Net, x: Tensor, y: Tensor, place: tuple[str, int], step: float = 1e-5) -> float:
    """The loss's slope in one gate, by differences."""
    losses = []
    for sign in (1.0, -1.0):
        gates = {name: torch.ones(1, width, dtype=x.dtype) for name, width in (("stem", 4), ("inner", 5), ("side", 3))}
        gates[place[0]][0, place[1]] += sign * step
        with torch.no_grad():
            losses.append(float(nn.functional.cross_entropy(model(x, gates), y)))
    return (losses[0] - losses[1]) / (2 * step)


def test_taylor_does_not_ask_whether_weights_are_frozen() -> None:
    model = model_of()
    wanted = scored("taylor", model)
    model.requires_grad_(False)
    with untouched(model):
        found = scored("taylor", model)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_taylor_leaves_no_gradients_and_changes_no_modes() -> None:
    model = model_of().train()
    model.norm.eval()
    with untouched(model):
        scored("taylor", model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_taylor_follows_rectifiers_that_work_in_place() -> None:
    def net(inplace: bool) -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 3, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(48, 3)
        ).double()

    found, wanted = scored("taylor", net(inplace=True)), scored("taylor", net(inplace=False))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=0.0)


def test_taylor_without_labels_is_refused() -> None:
    model, (x, _) = model_of(), data()
    task = Task.classification(calibration=[{"x": part} for part in x.split(4)])
    with pytest.raises(DataError, match="no target"):
        methods.score(model, find_sites(model, task), task, "taylor")


def test_taylor_of_a_loss_that_does_not_look_at_the_output_is_refused() -> None:
    model, task = model_of(), task_of()
    blind = Task.of(
        metric="none",
        loss=lambda _, batch: batch[0].sum(),
        sums=task.sums,
        quality=task.quality,
        distance=task.distance,
        calibration=task.calibration,
    )
    with pytest.raises(DataError, match="does not depend on"):
        methods.score(model, find_sites(model, task), blind, "taylor")


# --- what maps say ----------------------------------------------------------------------------------------------------


def parts(model: Net) -> dict[str, list[np.ndarray]]:
    """The maps of every layer that makes a site, behind its norm and activation."""
    x, _ = data()
    stem = model.norm(model.stem(x)).relu()
    inner = model.scale(model.inner(stem)).relu()
    outer = model.outer(inner)
    side = model.side(stem + outer).relu()
    found = {"stem": [stem, outer], "inner": [inner], "side": [side]}
    return {name: [maps.detach().numpy() for maps in several] for name, several in found.items()}


def test_apoz_counts_what_is_not_zero() -> None:
    model = model_of()
    found = scored("apoz", model)
    for name, several in parts(model).items():
        shares = [[1 - np.mean(maps[:, unit] == 0) for unit in range(maps.shape[1])] for maps in several]
        np.testing.assert_allclose(found[name].numpy(), np.mean(shares, axis=0), rtol=1e-12)
    assert bool((found["side"] < 1.0).any())


def test_hrank_is_the_mean_rank_by_numpy() -> None:
    model = model_of()
    found = scored("hrank", model)
    for name, several in parts(model).items():
        ranks = [np.linalg.matrix_rank(maps.astype(np.float32)).mean(0) for maps in several]
        np.testing.assert_allclose(found[name].numpy(), np.mean(ranks, axis=0), rtol=1e-12)


# --- what weights say -------------------------------------------------------------------------------------------------


def test_fpgm_adds_up_distances_between_whole_filters() -> None:
    model = model_of()
    found = scored("fpgm", model)["inner"]
    filters = model.inner.weight.detach().numpy().reshape(5, -1)
    wanted = [sum(np.sqrt(((one - other) ** 2).sum()) for other in filters) for one in filters]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def test_fpgm_of_filters_alike_is_zero_to_the_bit() -> None:
    model = model_of()
    with torch.no_grad():
        model.inner.weight.copy_(model.inner.weight[:1].expand_as(model.inner.weight))
    assert bool((scored("fpgm", model)["inner"] == 0.0).all())


def test_group_norm_takes_all_weights_that_go_with_a_unit() -> None:
    model = model_of()
    found = scored("group_norm", model)["stem"]
    last = model.last.weight.detach().reshape(3, 7, 4)
    for unit in range(4):
        weights = (
            model.stem.weight[unit],
            model.outer.weight[unit],
            model.inner.weight[:, unit],
            model.side.weight[:, unit],
            last[:, unit],
        )
        wanted = sum(float(weight.detach().square().sum()) for weight in weights) ** 0.5
        assert float(found[unit]) == pytest.approx(wanted, rel=1e-12)


def test_bn_scale_is_the_size_of_the_norms_scale() -> None:
    model = model_of()
    found = scored("bn_scale", without_side(model))
    torch.testing.assert_close(found["stem"], model.norm.weight.detach().abs())
    torch.testing.assert_close(found["inner"], model.scale.weight.detach().abs())


def without_side(model: Net) -> Net:
    """The same network with a norm in front of `side`'s rectifier."""
    model.side = nn.Sequential(model.side, nn.BatchNorm2d(3)).double().eval()
    return model


def test_bn_scale_of_units_without_a_norm_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"side: no norm scales its 3 units; use a method .* magnitude"):
        scored("bn_scale")


def test_a_norm_without_a_scale_scales_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU(), nn.Conv2d(4, 2, 6)).double()
    task = Task.classification(calibration=[data()])
    with pytest.raises(ModelError, match="0: no norm scales"):
        methods.score(model, find_sites(model, data()[0]), task, "bn_scale")


# --- what cannot be followed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ocnna", "apoz", "hrank"])
def test_weights_that_are_computed_first_give_maps_that_cannot_be_followed(name: str) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 7), nn.Linear(7, 3)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(nn.functional.linear(x, 2.0 * self.first.weight).relu())

    model = Scaled()
    x, y = torch.randn(6, 5, dtype=torch.float64), torch.zeros(6, dtype=torch.long)
    task = Task.classification(calibration=[(x, y)])
    with pytest.raises(ModelError, match=r"no layer uses .* as it is"):
        methods.score(model, find_sites(model, task), task, name)


@pytest.mark.parametrize("name", ["ocnna", "taylor"])
def test_examples_along_another_axis_are_refused(name: str) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 7), nn.Linear(7, 3)
            self.double()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x.transpose(0, 1)).relu()).mean(0)

    x, y = torch.randn(6, 4, 5, dtype=torch.float64), torch.zeros(6, dtype=torch.long)
    task = Task.classification(calibration=[(x, y)])
    with pytest.raises(ModelError, match="examples do not lie along the first axis"):
        methods.score(Turned(), find_sites(Turned(), task), task, name)
