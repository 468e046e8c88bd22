"""Explanations against hooks of PyTorch, sorted lists, scipy's single linkage, and the files that examples are from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage
from torch import Tensor, nn
from torch.nn import functional as F

import image_files
import secateur as sc
import text_files
from secateur import data, explaining
from secateur.errors import DataError, SettingsError
from secateur.explaining import Detail
from secateur.explaining.choosing import chosen, order_of
from secateur.explaining.outputs import outputs_of
from secateur.explanation import Explanation, Outputs, Picture, Row, Text
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


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 2)).eval()


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    ).eval()  # fmt: skip


def rows(count: int = 40, *shape: int) -> Tensor:
    return torch.randn(count, *(shape or (4,)), generator=torch.Generator().manual_seed(3))


def task_of(x: Tensor, size: int = 16) -> Task:
    return Task.classification(calibration=[(part, torch.zeros(len(part), dtype=torch.long)) for part in x.split(size)])


def put_out(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """What a layer puts out, by a hook of PyTorch's own."""
    found: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, value: found.append(value.detach()))
    model(x)
    handle.remove()
    return found[0]


def explained(model: nn.Module, task: Task, method: str, **detail: object) -> Explanation:
    return sc.explain(model, sc.find_sites(model, task), task, method, detail=Detail(**detail))  # type: ignore[arg-type]


def every(explanation: Explanation) -> Iterator[tuple[str, int, Outputs]]:
    for site in explanation.sites:
        for unit in site.shown:
            for outputs in unit.outputs:
                yield site.name, unit.number, outputs


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


# --- examples ---------------------------------------------------------------------------------------------------------


@dataclass
class Shuffled:
    """Batches in another order at each reading; `source` draws it."""

    x: Tensor
    source: object = torch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = (
            torch.randperm(len(self.x)) if self.source is torch else np.random.default_rng().permutation(len(self.x))
        )
        for part in self.x[order].split(16):
            yield part, torch.zeros(len(part), dtype=torch.long)


def test_an_example_gives_the_output_beside_it_though_the_data_is_shuffled() -> None:
    model = mlp()
    found = explained(model, Task.classification(train=Shuffled(rows())), "obce", units=3)
    for name, number, outputs in every(found):
        for example in outputs.shown:
            content = found.examples[example].content
            assert isinstance(content, Row)
            x = torch.tensor([[value for _, value in content.values]])
            layer = model[1] if name == "0" else model[3]
            assert put_out(model, layer, x)[0, number] == pytest.approx(float(outputs.values[example]), abs=1e-4)


def test_the_order_does_not_depend_on_what_was_drawn_before() -> None:
    model, task, seen = mlp(), Task.classification(train=Shuffled(rows())), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        seen.append([outputs.highest for _, _, outputs in every(explained(model, task, "magnitude"))])
    assert seen[0] == seen[1]


def test_data_that_changes_from_reading_to_reading_is_refused() -> None:
    with pytest.raises(DataError, match=r"changes from reading to reading, first at example \d+"):
        explained(mlp(), Task.classification(train=Shuffled(rows(), np)), "magnitude")


def test_rows_of_a_table_are_those_of_its_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    colours = generator.choice(["red", "green", "blue"], 80)
    frame = pd.DataFrame({"width": generator.normal(1e4, 3, 80).round(2), "colour": colours, "kind": ["a", "b"] * 40})
    frame.to_csv(tmp_path / "t.csv", index=False)
    loaded = data.load(f"csv:{tmp_path / 't.csv'}?target=kind")
    found = explained(mlp(), loaded.task, "obce", show=explaining.of(loaded))
    lines = set(frame.itertuples(index=False, name=None))
    for example in found.examples.values():
        assert isinstance(example.content, Row)
        (width_name, width), (colour_name, colour) = example.content.values
        assert (width_name, colour_name) == ("width", "colour")
        assert (width, colour, example.label) in lines


def test_pictures_are_those_of_their_file(tmp_path: Path) -> None:
    drawn = image_files.drawn(60, 20)
    image_files.write_binary(tmp_path, drawn)
    loaded = data.load(f"cifar10:{tmp_path}")
    found = explained(cnn(), loaded.task, "obce", units=1, show=explaining.of(loaded))
    known = {image.tobytes(): loaded.class_names[label] for image, label in zip(*drawn.train, strict=True)}
    for example in found.examples.values():
        assert isinstance(example.content, Picture)
        assert known[example.content.pixels.tobytes()] == example.label


def test_texts_are_those_of_their_file_and_outputs_are_at_the_first_token(tmp_path: Path) -> None:
    model = text_files.write_bert(tmp_path / "bert")
    lines = [f"the {word} film is {word} ." for word in text_files.WORDS]
    text_files.write(tmp_path / "corpus.txt", lines)
    loaded = data.load(f"text:{tmp_path / 'corpus.txt'}", tokenizer=str(tmp_path / "bert"), batch_size=5)
    found = explained(model, loaded.task, "obce", units=2, show=explaining.of(loaded))
    assert found.reading == "the output at the first token"
    batches = [{k: v for k, v in batch.items() if k != "labels"} for batch in loaded.task.batches("calibration")]
    inner = model.encoder.layer[0].intermediate
    wanted = torch.cat([_of_batch(model, inner, batch)[:, 0] for batch in batches])
    (site,) = (site for site in found.sites if site.name == "encoder.layer.0.intermediate.dense")
    for unit in site.shown:
        np.testing.assert_allclose(unit.outputs[0].values, wanted[:, unit.number].numpy(), rtol=1e-4, atol=1e-5)
    assert all(example.content in {Text((line,)) for line in lines} for example in found.examples.values())


def _of_batch(model: nn.Module, layer: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    found: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, value: found.append(value.detach()))
    model(**batch)
    handle.remove()
    return found[0]


def test_tokens_are_shown_as_numbers_or_as_a_tokenizer_reads_them(tmp_path: Path) -> None:
    text_files.write_tokenizer(tmp_path)
    loaded = data.load(f"text:{_corpus(tmp_path)}", tokenizer=str(tmp_path))
    batch = next(loaded.task.batches("calibration"))
    tokenizer = loaded.task.calibration.tokenizer.inner  # type: ignore[union-attr]
    assert explaining.decoded(tokenizer)(batch, 0, 0).content == Text(("the film is good",))
    assert explaining.as_given(batch, 0, 0).content == Text((" ".join(map(str, batch["input_ids"][0].tolist()[:6])),))


def _corpus(folder: Path) -> Path:
    text_files.write(folder / "corpus.txt", ["the film is good", "the plot is very very dull ."])
    return folder / "corpus.txt"


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
