"""Explanations against hooks of PyTorch, sorted lists and scipy's single linkage."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from torch import Tensor, nn
from torch.nn import functional as F

import secateur as sc
from explanations import cnn, every, explained, mlp, put_out, rows
from secateur.errors import DataError, SettingsError
from secateur.explaining import Detail
from secateur.explaining.choosing import chosen, order_of
from secateur.explaining.outputs import outputs_of
from secateur.explanation import Picture
from secateur.task import Task

VALUES = st.lists(st.integers(-3, 3).map(float) | st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20)
COUNTS = st.integers(1, 5)


def array(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


# --- the outputs of one unit ------------------------------------------------------------------------------------------


@given(VALUES)
def test_the_barcode_is_that_of_single_linkage(values: list[float]) -> None:
    found = outputs_of("layer", array(values), 3).deaths
    wanted = linkage(array(values)[:, None].astype(np.float64), "single")[:, 2] if len(values) > 1 else []
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-4)


@given(VALUES, COUNTS)
def test_examples_at_the_gap_are_its_nearest_neighbours(values: list[float], count: int) -> None:
    kept = array(values)
    found = outputs_of("layer", kept, count)
    ordered = sorted(set(kept.tolist()))
    if len(ordered) == 1:
        assert (found.gap, found.below, found.above) == (None, (), ())
        return
    assert found.gap is not None
    low, high = found.gap.low, found.gap.high
    assert ordered.index(high) == ordered.index(low) + 1
    assert np.float32(high) - np.float32(low) == max(np.diff(array(ordered)))
    assert list(found.below) == sorted((n for n, v in enumerate(kept) if v <= low), key=lambda n: (-kept[n], n))[:count]
    assert list(found.above) == sorted((n for n, v in enumerate(kept) if v >= high), key=lambda n: (kept[n], n))[:count]


@given(VALUES, COUNTS)
def test_the_ends_are_the_lowest_and_the_highest_outputs(values: list[float], count: int) -> None:
    kept = array(values)
    found = outputs_of("layer", kept, count)
    assert list(found.lowest) == sorted(range(len(kept)), key=lambda n: (kept[n], n))[:count]
    assert list(found.highest) == sorted(range(len(kept)), key=lambda n: (-kept[n], n))[:count]


@given(VALUES, COUNTS)
def test_chosen_units_are_the_ends_of_the_scores_and_each_comes_once(values: list[float], count: int) -> None:
    scores = np.array(values)
    found = chosen(order_of(scores), count)
    assert len(set(found.units)) == len(found.units) == min(len(values), 2 * count)
    assert [scores[unit] for unit in found.most] == sorted(values, reverse=True)[: len(found.most)]
    assert [scores[unit] for unit in found.least] == sorted(values)[: len(found.least)]
    assert 0 <= len(found.most) - len(found.least) <= 1


# --- whole networks ---------------------------------------------------------------------------------------------------


def task_of(x: Tensor, size: int = 16) -> Task:
    return Task.classification(calibration=[(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(size)])


@pytest.mark.parametrize("method", ["obce", "magnitude", "dense", "taylor", "chance"])
def test_outputs_are_those_of_the_layer_behind_its_activation(method: str) -> None:
    model, x = mlp(), rows()
    wanted = {"0": put_out(model, model[1], x), "2": put_out(model, model[3], x)}
    found = explained(model, task_of(x), method, units=3)
    assert [site.name for site in found.sites] == ["0", "2"]
    assert found.watched == 40
    for name, number, outputs in every(found):
        np.testing.assert_allclose(outputs.values, wanted[name][:, number].numpy(), rtol=1e-5, atol=1e-6)
        assert outputs.layer == name


def test_scores_and_ranks_are_those_of_the_method() -> None:
    model, task = mlp(), task_of(rows())
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, "dense")
    for site in sc.explain(model, sites, task, "dense").sites:
        np.testing.assert_array_equal(site.scores, scores.values[site.name].numpy())
        assert [site.ranks.index(rank) for rank in range(len(site.ranks))] == np.argsort(site.scores).tolist()
        assert [unit.score for unit in site.most] == sorted(site.scores, reverse=True)[: len(site.most)]


def test_the_longest_bar_is_the_score_of_obce() -> None:
    found = explained(mlp(), task_of(rows()), "obce", units=2)
    for site in found.sites:
        for unit in site.shown:
            assert unit.outputs[0].deaths[-1] == pytest.approx(unit.score, rel=1e-6)


def test_maps_are_what_the_layer_makes_of_the_picture() -> None:
    model, x = cnn(), rows(20, 3, 16, 16)
    wanted = {"0": put_out(model, model[2], x), "4": put_out(model, model[5], x)}
    found = explained(model, task_of(x, 7), "obce", units=2, examples=2)
    for name, number, outputs in every(found):
        maps = wanted[name][:, number]
        np.testing.assert_allclose(outputs.values, maps.mean((1, 2)).numpy(), rtol=1e-4, atol=1e-6)
        assert set(outputs.maps) == set(outputs.shown)
        for example, drawn in outputs.maps.items():
            np.testing.assert_allclose(drawn, maps[example].numpy(), rtol=1e-4, atol=1e-6)


def test_methods_that_measure_maps_show_what_they_measure() -> None:
    model, x = cnn(), rows(20, 3, 16, 16)
    found = explained(model, task_of(x), "apoz", units=2)
    assert found.reading == "what apoz measures of the map"
    wanted = put_out(model, model[2], x)
    for unit in found.sites[0].shown:
        np.testing.assert_allclose(unit.outputs[0].values, (wanted[:, unit.number] != 0).double().mean((1, 2)))
        assert unit.outputs[0].values.mean() == pytest.approx(unit.score)


def test_large_maps_and_pictures_are_averaged_down() -> None:
    model, x = cnn(), rows(4, 3, 96, 48)
    wanted = put_out(model, model[2], x)
    found = explained(model, task_of(x), "magnitude", units=1, examples=1)
    outputs = found.sites[0].most[0].outputs[0]
    example = outputs.highest[0]
    blocks = wanted[example, found.sites[0].most[0].number].reshape(24, 4, 24, 2).mean((1, 3))
    np.testing.assert_allclose(outputs.maps[example], blocks.numpy(), rtol=1e-4, atol=1e-6)
    content = found.examples[example].content
    assert isinstance(content, Picture)
    assert content.pixels.shape == (48, 24, 3)


class Pair(nn.Module):
    """Two layers that make the same units together."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.left(x)) + torch.tanh(self.right(x)))


def test_units_that_several_layers_make_have_outputs_of_each() -> None:
    model, x = Pair().eval(), rows()
    found = explained(model, task_of(x), "obce", units=1)
    (unit,) = found.sites[0].most
    assert [outputs.layer for outputs in unit.outputs] == ["left", "right"]
    for outputs, made in zip(unit.outputs, (F.relu(model.left(x)), torch.tanh(model.right(x))), strict=True):
        np.testing.assert_allclose(outputs.values, made[:, unit.number].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert np.mean([outputs.deaths[-1] for outputs in unit.outputs]) == pytest.approx(unit.score, rel=1e-6)


class Normed(nn.Module):
    """A layer whose weights are computed, so that nobody can tell where its units are put out."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(F.linear(x, self.inner.weight * 2.0, self.inner.bias))


def test_units_that_cannot_be_watched_are_shown_by_their_scores_alone() -> None:
    (site,) = explained(Normed().eval(), task_of(rows()), "dense").sites
    assert len(site.scores) == 5
    assert site.shown == ()
    assert "cannot be followed" in site.remark


def test_scores_that_are_all_alike_are_said_to_be() -> None:
    model = mlp()
    nn.init.zeros_(model[2].weight)
    first, second = explained(model, task_of(rows()), "dense").sites
    assert (first.remark, second.remark) == ("", "all its units score alike")


def test_stability_is_that_of_the_halves() -> None:
    model, task = mlp(), task_of(rows())
    found = explained(model, task, "obce", stability=True)
    wanted = sc.stability(model, sc.find_sites(model, task), task, "obce")
    assert {site.name: site.agreement for site in found.sites} == wanted
    assert {site.agreement for site in explained(model, task, "obce").sites} == {None}


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tlc", sc.methods.get("magnitude", granularity="layer")])
def test_a_method_of_layers_is_refused(method: object) -> None:
    model, task = mlp(), task_of(rows())
    with pytest.raises(SettingsError, match=r"(tlc|magnitude) scores layers"):
        sc.explain(model, sc.find_sites(model, task), task, method)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["units", "examples"])
def test_nothing_to_show_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 0"):
        Detail(**{name: 0})


@pytest.mark.parametrize("method", ["obce", "magnitude"])
def test_a_single_row_is_refused(method: str) -> None:
    with pytest.raises(DataError, match="has 1 row"):
        explained(mlp(), task_of(rows(1)), method)
