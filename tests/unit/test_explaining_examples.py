"""The examples of an explanation: those of the files they are from, in one order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import image_files
import text_files
from explanations import cnn, every, explained, mlp, put_out, rows
from secateur import data, explaining
from secateur.errors import DataError
from secateur.explanation import Picture, Row, Text
from secateur.task import Task


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
