"""Models at addresses on the command line: what needs no data, and the judge of other tools' cuts."""

from pathlib import Path

import pytest
import torch

import commands
from commands import DATA, MODEL
from hub_models import bert, cut
from secateur import save, save_pretrained, sources
from secateur.activations import find_activations
from secateur.depth import linear_at
from secateur.plan import LayerEdit, Plan, to_json

OTHER = (
    commands.MINE
    + """

def pruned():
    import torch_pruning
    model = fixed().eval()
    graph = torch_pruning.DependencyGraph().build_dependency(model, torch.randn(2, 4))
    graph.get_pruning_group(model[0], torch_pruning.prune_linear_out_channels, idxs=[1, 5]).prune()
    return model


def fixed():
    torch.manual_seed(3)
    return build()


def spoiled():
    model = pruned()
    model[1] = nn.LeakyReLU(0.5)
    return model
"""
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OTHER)


@pytest.fixture
def hub() -> None:
    model = bert()
    model.save_pretrained("plain")
    small, plan = cut(model, even=False)
    save_pretrained(small, "small", plan=plan)


@pytest.mark.usefixtures("hub")
def test_a_folder_is_looked_at_measured_and_exported_without_data() -> None:
    sites = commands.data("sites", "--model", "hf:plain")["sites"]
    assert [site["units"] for site in sites if "intermediate" in site["name"]] == [64, 64]
    before, after = (
        commands.data("measure", "--model", address, "--no-latency") for address in ("hf:plain", "hf:small")
    )
    assert after["parameters"] == before["parameters"] - (8 + 9) * 65
    again = commands.data("measure", "--weights", "small/model.safetensors", "--no-latency")
    assert again["parameters"] == after["parameters"]
    assert commands.data("export", "--model", "hf:small", "--out", "small.onnx")["max_difference"] < 1e-5


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("address", ["hf:small", "small/model.safetensors"])
def test_a_folder_is_verified_against_its_original_without_data(address: str) -> None:
    found = commands.data("verify", "--model", "hf:plain", "--cut", address)
    assert found["units_removed"] == 8 + 9
    assert found["certificate"]["relative_difference"] <= 1e-5
    assert found["cut"]["macs"] < found["original"]["macs"]


def test_a_cut_of_another_tool_is_judged() -> None:
    found = commands.data("verify", "--model", "mine.py:fixed", *DATA, "--cut", "mine.py:pruned")
    assert (found["pure"], found["removed"]) == (True, {"0": [1, 5]})
    assert found["cut"]["parameters"] < found["original"]["parameters"]


def test_a_cut_that_computes_something_else_is_refused_with_its_figures_shown() -> None:
    outcome = commands.run("verify", "--model", "mine.py:fixed", *DATA, "--cut", "mine.py:spoiled")
    assert outcome.exit_code == 1
    assert "parameters" in outcome.stdout
    assert "error: mine.py:spoiled: wrong: its tensors are those of a cut" in outcome.stderr


def changed_and_saved() -> None:
    """A network of `mine.py:fixed` with a line in the place of its first activation."""
    model = sources.build("mine.py:fixed", 0, {})
    activation = find_activations(model, torch.randn(2, 4)).activations[0]
    changes = linear_at(model, activation, torch.rand(12), torch.rand(12))
    plan = Plan("easier", layers=(LayerEdit(activation.name, "affine", changes),))
    save(model, "linear.safetensors", plan=plan, builder="mine.py:fixed")
    (Path("plan.json")).write_text(to_json(plan))


def test_a_network_with_changed_layers_is_checked_against_its_plan() -> None:
    changed_and_saved()
    given = ("--model", "mine.py:fixed", *DATA)
    found = commands.data("verify", *given, "--cut", "linear.safetensors")
    assert (found["layers_changed"], found["units_removed"], found["tensors"]) == (1, 0, 8)
    assert found["cut"]["parameters"] == found["original"]["parameters"] + 24
    refused = commands.refusal("apply", *given, "--plan", "plan.json", "--out", "again.safetensors")
    assert refused.startswith("1: the plan brings in 1 modules with weights, which no plan holds")


def test_commands_that_need_data_say_so() -> None:
    wanted = "no data are given, and this command needs some; give --data"
    assert wanted in commands.refusal("score", *MODEL, "--out", "scores.json")
    assert "what it takes is not known without data; give --data" in commands.refusal("sites", *MODEL)
