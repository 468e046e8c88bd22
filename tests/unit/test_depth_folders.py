"""Networks with changed layers come back from folders of Hugging Face, which transformers alone refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import secateur as sc
from hub_models import bert
from secateur import sources, storage
from secateur.activations import find_activations
from secateur.composing import compose
from secateur.depth import Affine, change_, linear_at
from secateur.errors import FileError, PlanError
from secateur.huggingface import example_of, weights_of
from secateur.plan import LayerEdit, Part, Plan, Swap
from secateur.programs import quiet


def lines_in_bert(model: nn.Module) -> Plan:
    place = "bert.encoder.layer.0.intermediate.intermediate_act_fn"
    activation = find_activations(model, example_of(model)).activation(place)
    changes = linear_at(model, activation, torch.rand(64), torch.rand(64))
    return Plan("easier", layers=(LayerEdit(place, "affine", changes),))


def merged_in_bert(model: nn.Module) -> Plan:
    """One operator for the block's two, in the first one's place."""
    layer = "bert.encoder.layer.1"
    parts = {"intermediate.dense": Part("linear", {"in_features": 32, "out_features": 32, "bias": True})}
    parts |= {"intermediate.intermediate_act_fn": Part("identity"), "output.dense": Part("identity")}
    changes = tuple(Swap(f"{layer}.{name}", part) for name, part in parts.items())
    change_(model, changes)
    with torch.no_grad():
        model.get_parameter(f"{layer}.intermediate.dense.weight").normal_()
    return Plan("linear_fit", layers=(LayerEdit(layer, "collapse", changes),))


def first(model: nn.Module, inputs: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        return model(**inputs)[0]


def test_a_folder_gives_changed_layers_back_and_transformers_alone_refuses_it(tmp_path: Path) -> None:
    """Its shapes may be the original's, so that transformers would read it and compute something else."""
    model = bert()
    plan = compose(lines_in_bert(model), merged_in_bert(model))
    assert not sc.save_pretrained(model, tmp_path / "small", plan=plan)
    loaded, inputs = sc.from_pretrained(tmp_path / "small"), example_of(model)
    assert type(loaded) is transformers.BertForSequenceClassification
    assert isinstance(loaded.bert.encoder.layer[0].intermediate.intermediate_act_fn, Affine)
    assert torch.equal(first(loaded, inputs), first(model, inputs))
    assert storage.read_plan(weights_of(tmp_path / "small")) == plan
    with quiet(), pytest.raises(OSError, match="no file named"):
        transformers.BertForSequenceClassification.from_pretrained(tmp_path / "small")


def test_the_file_of_a_folder_that_was_saved_before_is_taken_away(tmp_path: Path) -> None:
    model = bert()
    sc.save_pretrained(model, tmp_path / "small")
    sc.save_pretrained(model, tmp_path / "small", plan=lines_in_bert(model))
    assert [file.name for file in (tmp_path / "small").glob("*.safetensors")] == ["secateur.safetensors"]
    again = bert()
    sc.save_pretrained(again, tmp_path / "small")
    assert [file.name for file in (tmp_path / "small").glob("*.safetensors")] == ["model.safetensors"]
    assert torch.equal(
        first(sc.from_pretrained(tmp_path / "small"), example_of(again)), first(again, example_of(again))
    )


def test_a_plan_of_other_layers_is_refused_before_a_folder_is_written(tmp_path: Path) -> None:
    model = bert()
    plan = merged_in_bert(bert())
    with pytest.raises(PlanError, match="tensors differ from what config and plan make"):
        sc.save_pretrained(model, tmp_path / "small", plan=plan)
    linear = lines_in_bert(bert())
    identity = Plan("easier", layers=(LayerEdit("a", "identity", (Swap(linear.layers[0].name, Part("identity")),)),))
    with pytest.raises(PlanError, match="computes something else"):
        sc.save_pretrained(model, tmp_path / "small", plan=identity)
    assert not (tmp_path / "small").exists()


def test_an_address_of_such_a_folder_knows_its_file(tmp_path: Path) -> None:
    model = bert()
    plan = lines_in_bert(model)
    sc.save_pretrained(model, tmp_path / "small", plan=plan)
    assert sources.cut_already(f"hf:{tmp_path / 'small'}") == plan
    entry = json.loads((tmp_path / "small" / "config.json").read_text())["secateur"]
    assert (entry["format"], entry["weights"]) == (1, "secateur.safetensors")
    save_file(load_file(weights_of(tmp_path / "small")), tmp_path / "small" / "secateur.safetensors")
    with pytest.raises(FileError, match="holds plain weights"):
        sc.from_pretrained(tmp_path / "small")
