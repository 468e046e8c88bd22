"""Model addresses: what they name, what is built, and which inputs that takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from hub_models import bert, cut, states_equal
from secateur import save_pretrained, sources
from secateur.errors import CompressionError, FileError, ModelError, SettingsError, UnknownNameError
from secateur.sources.addresses import Address, FromFile, FromHub, FromLibrary, FromZoo


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("zoo:mlp?hidden=8", FromZoo("mlp", {"hidden": "8"})),
        ("hf:runs/bert", FromHub("runs/bert")),
        ("hf:org/bert?class=BertModel", FromHub("org/bert", "BertModel")),
        ("hf:/abs/dir", FromHub("/abs/dir")),
        ("hf:dir?class=BertModel&outputs=3", FromHub("dir", "BertModel", 3)),
        ("torchvision:resnet18", FromLibrary("torchvision", "resnet18", {})),
        ("torchvision:vit_b_16?weights=DEFAULT", FromLibrary("torchvision", "vit_b_16", {"weights": "DEFAULT"})),
        ("timm:resnet18.a1_in1k?num_classes=5", FromLibrary("timm", "resnet18.a1_in1k", {"num_classes": "5"})),
        ("a/b:c.py:make", FromFile(Path("a/b:c.py"), "make")),
    ],
)
def test_an_address_names_a_source_and_its_options(address: str, wanted: Address) -> None:
    assert sources.parse(address) == wanted
    assert sources.is_address(address)
    assert sources.filled_in(address, {"features": None, "outputs": None}) == address


@pytest.mark.parametrize(
    ("address", "side", "wanted"),
    [
        ("zoo:resnet20", 32, "zoo:resnet20?data=cifar&outputs=7"),
        ("zoo:vgg16_bn?data=imagenet", 32, "zoo:vgg16_bn?data=imagenet&outputs=7"),
        ("zoo:vgg16_bn", 224, "zoo:vgg16_bn?data=imagenet&outputs=7"),
        ("zoo:mobilenet_v1", 224, "zoo:mobilenet_v1?data=imagenet&outputs=7"),
        ("zoo:resnet18?outputs=3", 28, "zoo:resnet18?outputs=3&data=cifar"),
        ("zoo:lenet", 28, "zoo:lenet?data=mnist&outputs=7"),
        ("zoo:lenet", 32, "zoo:lenet?data=cifar&outputs=7"),
        ("zoo:mlp?features=4", 32, "zoo:mlp?features=4&outputs=7"),
        ("timm:resnet18", 32, "timm:resnet18"),
    ],
)
def test_what_the_images_show_is_filled_in_where_the_address_is_silent(address: str, side: int, wanted: str) -> None:
    assert sources.filled_in(address, {"features": None, "outputs": 7, "side": side}) == wanted


@pytest.mark.parametrize(
    ("address", "error", "complaint"),
    [
        ("hf:", SettingsError, "'hf:' is incomplete; write zoo:NAME"),
        ("timm:", SettingsError, "'timm:' is incomplete"),
        (
            "torchvision:vgg?weights",
            SettingsError,
            "torchvision:vgg[?]weights: weights has no value; write weights=VAL",
        ),
        ("timm:vgg?a=1&a=2", SettingsError, "a is given twice"),
        ("hf:bert?outputs=0", SettingsError, "hf: outputs='0'; it must be a whole number from 1 up"),
        ("hf:bert?clas=BertModel", UnknownNameError, "'clas' is not a known option of hf:; did you mean class"),
        ("tim:vgg", UnknownNameError, "'tim:' is not a known model address; known: FILE.py:FUNCTION, hf:DIR"),
    ],
)
def test_what_is_no_address_is_refused(address: str, error: type[CompressionError], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        sources.parse(address)


def test_paths_of_files_are_no_addresses() -> None:
    assert not any(map(sources.is_address, ("small.safetensors", "C:\\runs\\small.safetensors", "runs/small.pt")))


def test_only_functions_of_files_run_code() -> None:
    assert sources.runs_code("mine.py:build")
    assert not any(map(sources.runs_code, ("zoo:mlp", "hf:dir", "timm:x", "torchvision:x")))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    bert().save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


def test_a_plain_folder_gives_its_model_and_inputs(plain: Path) -> None:
    wanted = type(bert()).from_pretrained(plain)
    model = sources.build(f"hf:{plain}", 0, {})
    assert type(model) is type(wanted) and states_equal(model, wanted)
    assert sources.comes_trained(f"hf:{plain}")
    assert sources.cut_already(f"hf:{plain}") is None
    inputs = sources.example(f"hf:{plain}", model)
    assert isinstance(inputs, dict) and set(inputs) == {"input_ids", "attention_mask"}
    assert type(sources.build(f"hf:{plain}?class=BertModel", 0, {})).__name__ == "BertModel"


def test_a_folder_of_ours_gives_the_cut_model_its_plan_and_the_uncut_original(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=True)
    save_pretrained(small, tmp_path / "small", plan=plan)
    address = f"hf:{tmp_path / 'small'}"
    assert states_equal(sources.build(address, 0, {}), small)
    assert sources.cut_already(address) == plan
    assert sources.weights_with_plan(address) == tmp_path / "small" / "model.safetensors"
    layer = sources.original(address, 0, {}).get_submodule("bert.encoder.layer.0.intermediate.dense")
    assert layer.weight.shape == (64, 32)


def test_a_config_alone_gives_random_weights_from_the_seed(plain: Path) -> None:
    (plain / "model.safetensors").unlink()
    address = f"hf:{plain}"
    first, again, other = (sources.build(address, seed, {}) for seed in (1, 1, 2))
    assert states_equal(first, again) and not states_equal(first, other)
    assert not sources.comes_trained(address)


def test_folders_that_cannot_be_trusted_or_read_are_refused(plain: Path) -> None:
    with pytest.raises(ModelError, match=r"weights of BertForMaskedLM are missing \(.*name the class that was trained"):
        sources.build(f"hf:{plain}?class=BertForMaskedLM", 0, {})
    with pytest.raises(FileError, match="'Bert' is no model class of transformers"):
        sources.build(f"hf:{plain}?class=Bert", 0, {})
    (plain / "model.safetensors").rename(plain / "pytorch_model.bin")
    with pytest.raises(
        FileError, match=r"its pytorch_model.bin is damaged, or holds more than tensors, which .* code; save"
    ):
        sources.build(f"hf:{plain}", 0, {})
    (plain / "config.json").write_text('{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}')
    (plain / "pytorch_model.bin").rename(plain / "model.h5")
    with pytest.raises(FileError, match=r"its weights are no safetensors \(model.h5\); save them anew"):
        sources.build(f"hf:{plain}", 0, {})
    (plain / "model.h5").unlink()
    (plain / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(FileError, match=r"its config cannot be read: .*custom code"):
        sources.build(f"hf:{plain}", 0, {})


def test_a_plain_encoder_gets_a_new_head_for_texts_and_keeps_its_own_weights(tmp_path: Path) -> None:
    encoder = bert(transformers.BertModel)
    encoder.save_pretrained(tmp_path / "encoder")
    address = f"hf:{tmp_path / 'encoder'}"
    full = sources.filled_in(address, {"vocabulary": 50, "outputs": 3})
    assert full == f"{address}?class=BertForSequenceClassification&outputs=3"
    assert sources.has_new_head(full) and not sources.has_new_head(address)
    assert sources.filled_in(address, {"vocabulary": None, "outputs": 3}) == address  # no texts
    assert (
        sources.filled_in(f"{address}?class=BertModel", {"vocabulary": 50, "outputs": 3})
        == f"{address}?class=BertModel"
    )

    first, again, other = (sources.build(full, seed, {}) for seed in (1, 1, 2))
    assert first.classifier.out_features == 3
    assert states_equal(first.bert, encoder)
    assert states_equal(first, again) and not states_equal(first.classifier, other.classifier)
    assert sources.original(full, 0, {}).classifier.weight.shape == (3, 32)

    weights = load_file(tmp_path / "encoder" / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "encoder" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights of .* are missing \(bert.encoder.layer.1.output.dense.weight"):
        sources.build(full, 0, {})


@pytest.mark.parametrize("family", ["DistilBert", "Roberta", "Electra", "GPT2"])
def test_every_family_has_a_head_of_its_own(family: str, tmp_path: Path) -> None:
    getattr(transformers, f"{family}Config")().save_pretrained(tmp_path)
    found = sources.filled_in(f"hf:{tmp_path}", {"vocabulary": 50, "outputs": 3})
    assert found == f"hf:{tmp_path}?class={family}ForSequenceClassification&outputs=3"


def test_a_model_without_such_a_head_is_refused(tmp_path: Path) -> None:
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no model of type vit with a head for whole texts; name a class, as in hf:"):
        sources.filled_in(f"hf:{tmp_path}", {"vocabulary": 50, "outputs": 3})


def test_a_trained_head_is_kept_unless_another_is_asked_for(plain: Path) -> None:
    address = f"hf:{plain}"
    for outputs in (2, 3):
        assert sources.filled_in(address, {"vocabulary": 50, "outputs": outputs}) == address
    anew = f"{address}?outputs=3"
    assert sources.has_new_head(anew) and not sources.has_new_head(f"{address}?outputs=2")
    model = sources.build(anew, 0, {})
    assert model.classifier.weight.shape == (3, 32)
    assert states_equal(model.bert, sources.build(address, 0, {}).bert)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("run"),)


def test_a_pickle_of_tensors_is_read_and_any_other_is_refused_unrun(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = sources.build(f"hf:{plain}", 0, {})
    (plain / "model.safetensors").unlink()
    torch.save(wanted.state_dict(), plain / "pytorch_model.bin")
    assert states_equal(sources.build(f"hf:{plain}", 0, {}), wanted)
    assert sources.comes_trained(f"hf:{plain}")

    torch.save({**wanted.state_dict(), "more": Harmful()}, plain / "pytorch_model.bin")
    with pytest.raises(FileError, match="holds more than tensors, which could run code"):
        sources.build(f"hf:{plain}", 0, {})
    assert not Path("run").exists()


def test_a_name_that_is_not_in_the_cache_is_refused_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match="hf:org/no-such-model: no such folder, and not to be had from the hub: "):
        sources.build("hf:org/no-such-model", 0, {})


def test_a_function_of_your_own_has_no_example(tmp_path: Path) -> None:
    assert sources.example(f"{tmp_path}/mine.py:build", nn.Linear(2, 2)) is None
