"""Cut, saved, loaded, exported: small networks of the zoo (`make test-compat` has the others) and transformers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import secateur as sc
from hub_models import IMAGES, SIZES
from journeys import answer, assert_comes_back, cut
from saved_nets import same_bits
from secateur import huggingface, storage, zoo
from secateur.programs import quiet
from secateur.task import tensors_in

ZOO: dict[str, dict[str, Any]] = {
    "mlp": {"features": 5, "hidden": [9, 8], "outputs": 3, "norm": "batch"},
    "lenet": {"outputs": 3},
    "resnet20": {"outputs": 3},
    "densenet": {"outputs": 3, "depth": 13, "growth": 4},
}
ELSEWHERE = """
import sys
sys.path.insert(0, {source!r})
import torch
from secateur import storage, zoo
torch.set_num_threads(1)
x, wanted = torch.load("outputs.pt")
model = storage.load("small.safetensors", build=lambda: zoo.build({name!r}, **{options!r})).eval()
assert type(model) is type(zoo.build({name!r}, **{options!r}))
with torch.no_grad():
    assert torch.equal(model(x), wanted)
import numpy, onnxruntime
session = onnxruntime.InferenceSession("small.onnx", providers=["CPUExecutionProvider"])
found = session.run(None, {{session.get_inputs()[0].name: x.numpy()}})[0]
assert numpy.abs(found - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
"""


@pytest.mark.parametrize("name", ZOO)
def test_a_cut_network_of_the_zoo_is_loaded_to_the_bit_and_exported_for_any_batch(name: str, tmp_path: Path) -> None:
    assert_comes_back(name, ZOO[name], tmp_path)


@pytest.mark.parametrize("name", ["densenet", "lenet"])
def test_a_fresh_process_loads_both_files(name: str, tmp_path: Path) -> None:
    x = zoo.example(name, **ZOO[name])
    small, plan = cut(zoo.build(name, **ZOO[name]), x)
    storage.save(small, tmp_path / "small.safetensors", plan=plan)
    sc.export_onnx(small, tmp_path / "small.onnx", x)
    torch.save((x, answer(small, x)), tmp_path / "outputs.pt")
    code = ELSEWHERE.format(source=str(Path(sc.__file__).parents[1]), name=name, options=ZOO[name])
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()


# --- transformers -----------------------------------------------------------------------------------------------------

GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 16, "eos_token_id": 1}
HUB = {
    "bert": (transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES)),
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config(**GPT, bos_token_id=1)),
    "vit": (transformers.ViTForImageClassification, transformers.ViTConfig(**SIZES, **IMAGES)),
}


@pytest.mark.parametrize(("name", "whole_heads"), [*((name, False) for name in HUB), ("bert", True)])
def test_a_transformer_whose_attention_was_cut_is_saved_and_loaded(
    name: str, whole_heads: bool, tmp_path: Path
) -> None:
    kind, config = HUB[name]
    with quiet():
        model = kind(config)
    example = huggingface.example_of(model)
    small, plan = cut(model, example, whole_heads=whole_heads)
    assert any("att" in name and plan.removed[name] for name in plan.removed)
    sc.save_pretrained(small, tmp_path / "small", plan=plan)
    loaded = sc.from_pretrained(tmp_path / "small")
    assert type(loaded) is kind
    same_bits(loaded, small)
    with torch.no_grad():
        found, wanted = (tensors_in(m(**example))[0] for m in (loaded.eval(), small))
    assert torch.equal(found, wanted)
