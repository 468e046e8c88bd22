"""A cut model of transformers comes back from its folder as it was, in a fresh process, into its ordinary class."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

import secateur as sc
from hub_models import SIZES, bert, cut, llama, vit
from secateur import huggingface, storage
from secateur.errors import FileError, ModelError, PlanError
from secateur.huggingface import example_of
from secateur.programs import quiet
from secateur.task import tensors_in

MODELS: dict[str, Callable[[], nn.Module]] = {
    "bert": bert,
    "bert, tied": lambda: bert(transformers.BertForMaskedLM),
    "llama": llama,
    "vit": vit,
}
EVERY = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
_ELSEWHERE = """
import sys, torch
{how}
inputs = torch.load("inputs.pt")
with torch.no_grad():
    torch.save([type(model).__name__, model.training, model.eval()(**inputs)[0]], "found.pt")
"""
OURS = "import secateur; model = secateur.from_pretrained('small')"
PLAIN = "import transformers; model = transformers.{name}.from_pretrained('small')"


def in_another_process(how: str, inputs: dict[str, object], folder: Path) -> list[object]:
    """Class, mode and first output of the model that a fresh process loads from the folder `small`."""
    torch.save(inputs, folder / "inputs.pt")
    source = str(Path(sc.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {source!r}); {_ELSEWHERE.format(how=how)}"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return list(torch.load(folder / "found.pt"))


def first_output(model: nn.Module, inputs: dict[str, object]) -> torch.Tensor:
    with torch.no_grad():
        return tensors_in(model(**inputs))[0]


@pytest.mark.parametrize("even", [True, False])
def test_a_fresh_process_loads_what_was_saved(tmp_path: Path, even: bool) -> None:
    model = bert(transformers.BertForMaskedLM)
    small, plan = cut(model, even=even)
    inputs = example_of(small)
    sc.save_pretrained(small, tmp_path / "small", plan=plan)

    name, is_training, output = in_another_process(OURS, inputs, tmp_path)
    assert (name, is_training) == ("BertForMaskedLM", False)
    assert torch.equal(output, first_output(small, inputs))


def test_a_fresh_process_without_secateur_loads_an_even_cut(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=True)
    inputs = example_of(small)
    assert sc.save_pretrained(small, tmp_path / "small", plan=plan)

    how = PLAIN.format(name="AutoModelForSequenceClassification")
    name, _, output = in_another_process(how, inputs, tmp_path)
    assert name == "BertForSequenceClassification"
    assert torch.equal(output, first_output(small, inputs))


@EVERY
def test_the_loaded_model_is_the_saved_one(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    for even in (True, False):
        small, plan = cut(make(), even=even)
        assert sc.save_pretrained(small, tmp_path / str(even), plan=plan) == even
        loaded = sc.from_pretrained(tmp_path / str(even))

        inputs = example_of(small)
        assert type(loaded) is type(small)
        assert torch.equal(first_output(loaded, inputs), first_output(small, inputs))
        assert str(loaded) == str(small)
        assert loaded.config.intermediate_size == SIZES["intermediate_size"]  # as that of `small`
        assert [id(p) for p in loaded.parameters()] == list(dict.fromkeys(id(p) for p in loaded.parameters()))
        assert len(list(loaded.parameters())) == len(list(small.parameters()))  # what was tied is tied
        assert storage.read_plan(tmp_path / str(even) / "model.safetensors") == plan


@EVERY
def test_transformers_alone_reads_even_cuts_and_refuses_others(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    for even in (True, False):
        small, plan = cut(make(), even=even)
        sc.save_pretrained(small, tmp_path / str(even), plan=plan)
        inputs = example_of(small)
        with quiet():
            if even:
                plain = type(small).from_pretrained(tmp_path / "True").eval()
                assert torch.equal(first_output(plain, inputs), first_output(small, inputs))
                assert plain.config.intermediate_size == SIZES["intermediate_size"] - 8
            else:
                with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
                    type(small).from_pretrained(tmp_path / "False")


def test_what_transformers_read_plainly_is_saved_again(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=True)
    sc.save_pretrained(small, tmp_path / "once", plan=plan)
    with quiet():
        plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "once")
    assert sc.save_pretrained(plain, tmp_path / "twice")

    inputs = example_of(small)
    assert torch.equal(first_output(sc.from_pretrained(tmp_path / "twice"), inputs), first_output(small, inputs))


def test_a_size_that_the_config_leaves_open_is_written_there() -> None:
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50, bos_token_id=1, eos_token_id=1)
    wanted = transformers.GPT2LMHeadModel(transformers.GPT2Config.from_dict(config.to_dict() | {"n_inner": 96})).eval()
    before = {name: tuple(t.shape) for name, t in transformers.GPT2LMHeadModel(config).state_dict().items()}

    fields = huggingface.evenness.fields_for(wanted, before, config.to_dict())
    assert fields == {"n_inner": 96}


def test_equal_shapes_that_compute_something_else_are_told_apart(tmp_path: Path) -> None:
    model = bert()
    for layer in model.bert.encoder.layer:  # two heads of 16 where the config says four of 8: no shape differs
        layer.attention.self.num_attention_heads, layer.attention.self.attention_head_size = 2, 16
        layer.attention.self.scaling = 16**-0.5

    with pytest.raises(PlanError, match="make a network of these shapes that computes something else; give plan=…"):
        sc.save_pretrained(model, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def test_half_precision_comes_back(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=False)
    sc.save_pretrained(small.half(), tmp_path / "small", plan=plan)

    loaded = sc.from_pretrained(tmp_path / "small")
    assert {p.dtype for p in loaded.parameters()} == {torch.float16}
    assert json.loads((tmp_path / "small" / "config.json").read_text())["dtype"] == "float16"


def test_saving_and_loading_leave_the_model_and_the_random_state_as_found(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=True)
    small.train()
    config, state = small.config.to_dict(), torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    sc.save_pretrained(small, tmp_path / "small", plan=plan)
    sc.from_pretrained(tmp_path / "small")

    assert small.training and small.config.to_dict() == config
    assert all(torch.equal(tensor, weights[name]) for name, tensor in small.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_tokenizer_files_come_along_but_neither_weights_nor_code(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("tokenizer.json", "vocab.txt", "chat_template.jinja", "config.json", "model.safetensors",
                 "modeling.py", "pytorch_model.bin", "model.safetensors.index.json"):  # fmt: skip
        (source / name).write_text("{}")
    small, plan = cut(llama(), even=True)
    sc.save_pretrained(small, tmp_path / "small", plan=plan, source=source)

    assert sorted(file.name for file in (tmp_path / "small").iterdir()) == [
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "vocab.txt",
    ]  # fmt: skip
    with pytest.raises(FileError, match="nowhere: there is no such folder"):
        sc.save_pretrained(small, tmp_path / "other", plan=plan, source=tmp_path / "nowhere")
    assert not (tmp_path / "other").exists()


class Mine(transformers.BertModel):
    pass


def test_what_cannot_be_saved_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    small, plan = cut(bert(), even=True)
    with pytest.raises(PlanError, match=r"6 tensors differ from what config and plan make \(.*give plan=…, what was"):
        sc.save_pretrained(small, tmp_path / "small")
    with pytest.raises(PlanError, match="the plan expects 64 entries on axis 0, the model has 48"):
        sc.save_pretrained(bert(intermediate_size=48), tmp_path / "small", plan=plan)
    with pytest.raises(ModelError, match=r"Mine: transformers exports no such model class; use secateur\.save"):
        sc.save_pretrained(Mine(transformers.BertConfig(**SIZES)), tmp_path / "small")
    with pytest.raises(ModelError, match="Linear: transformers exports no such model class"):
        sc.save_pretrained(nn.Linear(2, 2), tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    small, plan = cut(bert(), even=False)
    sc.save_pretrained(small, tmp_path / "small", plan=plan)
    return tmp_path / "small"


def with_entry(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["secateur"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["BertForEverything", "BertConfig", "os", "BertTokenizer", "__doc__"])
def test_only_model_classes_of_transformers_are_built(saved: Path, name: str) -> None:
    with_entry(saved, **{"class": name})
    with pytest.raises(FileError, match=f"'{name}' is no model class of transformers"):
        sc.from_pretrained(saved)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "format 2, but this version reads format 1; update secateur"),
        ({"class": 3}, "its entry 'secateur' is damaged; copy the folder again"),
        ({"original": {"num_attention_heads": 5}}, "BertForSequenceClassification cannot be built from it: .*multiple"),
        ({"original": {"intermediate_size": 48}}, "do not fit the model: .*is this the right builder"),
    ],
)
def test_a_damaged_entry_is_refused(saved: Path, changes: dict[str, object], complaint: str) -> None:
    with_entry(saved, **changes)
    with pytest.raises(FileError, match=complaint):
        sc.from_pretrained(saved)


def test_damaged_and_foreign_folders_are_refused(saved: Path, tmp_path: Path) -> None:
    weights = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    with pytest.raises(FileError, match="do not match their checksum, so the file is damaged"):
        sc.from_pretrained(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(FileError, match=r"config.json: is no JSON"):
        sc.from_pretrained(saved)
    with pytest.raises(FileError, match="there is no such file"):
        sc.from_pretrained(tmp_path / "nowhere")
    bert().save_pretrained(tmp_path / "plain")
    with pytest.raises(FileError, match="its config has no entry 'secateur', so it is no folder of ours; read it with"):
        sc.from_pretrained(tmp_path / "plain")


def test_weights_that_are_missing_are_refused(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(FileError, match="holds plain weights"):
        sc.from_pretrained(saved)


def test_without_transformers_it_is_named_with_the_way_to_get_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"transformers, which is not installed: pip install 'secateur\[text\]'"):
        sc.from_pretrained(saved)


def test_examples_are_what_each_model_takes() -> None:
    texts = example_of(bert())
    assert {name: tuple(t.shape) for name, t in texts.items()} == {"input_ids": (2, 16), "attention_mask": (2, 16)}
    assert 0 < int(texts["input_ids"].min()) <= int(texts["input_ids"].max()) < 50  # 0 is padding
    assert torch.equal(example_of(bert())["input_ids"], texts["input_ids"])
    assert {name: tuple(t.shape) for name, t in example_of(vit()).items()} == {"pixel_values": (2, 3, 32, 32)}
    assert example_of(llama())["use_cache"] is False
    t5 = transformers.T5ForConditionalGeneration(transformers.T5Config(d_model=8, d_kv=4, d_ff=8, vocab_size=50))
    assert set(example_of(t5)) == {"input_ids", "attention_mask", "decoder_input_ids", "use_cache"}
    wav = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SIZES | {"num_conv_pos_embedding_groups": 2}))
    with pytest.raises(ModelError, match="Wav2Vec2Model: takes input_values, for which no example is known; give --d"):
        example_of(wav)


@pytest.mark.parametrize("export", [sc.export_onnx, sc.export_program])
@EVERY
def test_a_cut_model_is_exported_with_its_inputs_by_name_and_any_batch(
    tmp_path: Path, export: Callable[..., float], make: Callable[[], nn.Module]
) -> None:
    small, _ = cut(make(), even=False)
    path = tmp_path / ("small.onnx" if export is sc.export_onnx else "small.pt2")
    assert export(small, path, example_of(small)) < 1e-5  # on two rows and on five
