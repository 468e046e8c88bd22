"""`ocnna` on convolutions: against scikit-learn map by map, taps, coupled layers, invariances, degenerate maps."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from footprint import untouched
from oracles.ocnna import significance, variation
from secateur import methods
from secateur.errors import DataError, ModelError
from secateur.finding import find_sites
from secateur.task import Task

IMAGES = 9


def images(size: int = 8, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(IMAGES, channels, size, size, generator=generator, dtype=torch.float64)


def task_of(x: Tensor, batch: int = 4) -> Task:
    return Task.classification(
        calibration=[(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(batch)]
    )


def scored(model: nn.Module, x: Tensor, batch: int = 4, **settings: object) -> dict[str, Tensor]:
    task = task_of(x, batch)
    return dict(methods.score(model, find_sites(model, task), task, methods.get("ocnna", **settings)).values)


def by_pca(maps: Tensor) -> Tensor:
    """The paper's score of each unit, from maps [images, units, height, width]."""
    units = maps.detach().transpose(0, 1).numpy()
    return torch.tensor([variation([significance(image) for image in unit]) for unit in units], dtype=torch.float64)


def assert_scores(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


class Plain(nn.Module):
    """Convolution, norm, rectifier, pooling; twice; a linear layer on what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5)
        self.two = nn.Conv2d(5, 4, 3, bias=False)
        self.last = nn.Linear(4, 2)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)
        self.double().eval()

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of both convolutions, before and after norm and activation."""
        one = self.one(x)
        after = self.norm(one).relu()
        two = self.two(nn.functional.max_pool2d(after, 2))
        return one, after, two, two.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.maps(x)[3].mean((2, 3)))


@pytest.mark.parametrize("batch", [1, 4, IMAGES])
def test_scores_are_those_of_pca_on_each_map_behind_the_activation(batch: int) -> None:
    model, x = Plain(), images()
    found = scored(model, x, batch)
    _, one, _, two = model.maps(x)
    assert_scores(found["one"], by_pca(one))
    assert_scores(found["two"], by_pca(two))


def test_before_the_activation_norms_and_biases_do_not_matter() -> None:
    model, x = Plain(), images()
    one, _, two, _ = model.maps(x)
    found = scored(model, x, tap="pre")
    assert_scores(found["one"], by_pca(one))
    assert_scores(found["two"], by_pca(two))
    before = scored(model, x, tap="pre")["one"]
    with torch.no_grad():
        model.one.bias += 3.0
        model.norm.running_var *= 7.0
    assert_scores(scored(model, x, tap="pre")["one"], before)


def test_a_float32_network_scores_as_the_oracle_to_a_millionth() -> None:
    model, x = Plain().float(), images().float()
    _, one, _, two = model.maps(x)
    found = scored(model, x)
    torch.testing.assert_close(found["one"], by_pca(one), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found["two"], by_pca(two), rtol=1e-6, atol=0.0)


def test_maps_times_and_plus_a_number_score_the_same() -> None:
    model, x = Plain(), images()
    before = scored(model, x, tap="pre")["one"]
    with torch.no_grad():
        model.one.weight *= -2.5
        model.one.bias.mul_(-2.5).add_(11.0)
    assert_scores(scored(model, x, tap="pre")["one"], before)


def test_the_surrogate_takes_the_centred_norm() -> None:
    model, x = Plain(), images()
    one = model.maps(x)[0].detach()
    norms = (one - one.mean(2, keepdim=True)).square().sum((2, 3)).sqrt()
    wanted = norms.std(0, correction=0) / norms.mean(0)
    assert_scores(scored(model, x, form="surrogate", tap="pre")["one"], wanted)


class Coupled(nn.Module):
    """A residual sum of two branches: three layers make the same units."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = (nn.Conv2d(n, 4, 3, padding=1) for n in (3, 4, 4))
        self.last = nn.Linear(4, 2)
        self.double().eval()

    def parts(self, x: Tensor) -> Sequence[Tensor]:
        stem = self.stem(x).relu()
        return stem, self.left(stem).tanh(), self.right(stem)

    def forward(self, x: Tensor) -> Tensor:
        stem, left, right = self.parts(x)
        return self.last((stem + left + right).relu().mean((2, 3)))


@pytest.mark.parametrize("coupled", ["mean", "sum", "max"])
def test_of_a_coupled_unit_every_layer_that_makes_it_counts(coupled: str) -> None:
    model, x = Coupled(), images()
    each = torch.stack([by_pca(part) for part in model.parts(x)])
    wanted = {"mean": each.mean(0), "sum": each.sum(0), "max": each.amax(0)}[coupled]
    assert_scores(scored(model, x, coupled=coupled)["stem"], wanted)


def test_filters_side_by_side_and_depthwise_are_found() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)
            self.deep = nn.Conv2d(10, 10, 3, groups=10)
            self.last = nn.Conv2d(10, 2, 1)
            self.double().eval()

        def forward(self, x: Tensor) -> Tensor:
            both = torch.cat([self.one(x).relu(), self.two(x)], 1)
            return self.last(self.deep(both).relu()).mean((2, 3))

    model, x = Mixed(), images()
    one, two = model.one(x).relu(), model.two(x)
    deep = by_pca(model.deep(torch.cat([one, two], 1)).relu())
    found = scored(model, x)
    assert_scores(found["one"], (by_pca(one) + deep[:4]) / 2)
    assert_scores(found["two"], (by_pca(two) + deep[4:]) / 2)


def test_one_entry_is_taken_as_it_is_and_a_sequence_as_a_column() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.then, self.last = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 2)
            self.double().eval()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.then(self.first(x).tanh().mean(1)).relu())

    model = Tokens()
    x = images(6)[:, :, 0]  # three tokens of six features
    found = scored(model, x)
    first = model.first(x).tanh().transpose(1, 2)[..., None]
    then = model.then(model.first(x).tanh().mean(1)).relu()
    assert_scores(found["first"], by_pca(first))
    wanted = then.std(0, correction=0) / then.mean(0)
    assert_scores(found["then"], torch.where(then.amax(0) > 0, wanted, 0.0).detach())


def test_maps_that_never_vary_score_0_and_the_others_above() -> None:
    model, x = Plain().float(), images().float()
    with torch.no_grad():
        model.one.weight[2] = 0.0
        model.one.bias[2] = 0.1
        model.norm.weight.fill_(1.0)
        model.norm.bias.fill_(0.3)
    found = scored(model, x)["one"]
    assert found[2] == 0.0
    assert bool((found[[0, 1, 3, 4]] > 0.0).all())


def test_a_scoring_set_of_one_image_has_no_variation() -> None:
    with pytest.raises(DataError, match="1 row"):
        scored(Plain(), images()[:1])


def test_filters_with_nan_are_refused() -> None:
    model = Plain()
    task = task_of(images())
    sites = find_sites(model, task)
    with torch.no_grad():
        model.two.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"two\.weight: 1 of"):
        methods.score(model, sites, task, "ocnna")


def test_rectifiers_in_place_and_training_mode_change_nothing() -> None:
    def net(inplace: bool) -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace), nn.Conv2d(5, 4, 3), nn.ReLU(inplace), nn.Flatten(),
            nn.Linear(64, 2),
        ).double().train()  # fmt: skip

    model, x = net(inplace=True), images()
    with untouched(model):
        found = scored(model, x)
    wanted = scored(net(inplace=False), x)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert_scores(found["0"], by_pca(model.eval()[:3](x)))
