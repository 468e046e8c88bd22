"""Methods of layers on the command line: `secateur compress`, and the same walked by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import commands
from commands import DATA, MODEL
from secateur import sources, storage
from secateur.cli import running
from secateur.errors import PlanError
from secateur.plan import from_json, to_json
from secateur.recipe import read
from secateur.surgery import apply

RUN = ("compress", *MODEL, *DATA, "--train", 1, "--recover", 0)


PADDED = """
import torch
from torch import nn
from secateur import Task


def build():
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.Flatten())


def task():
    return Task.regression(train=[(torch.randn(5, 1, 6, 6), torch.zeros(5, 32))])
"""

pytestmark = pytest.mark.usefixtures("folder", "quickened")


@pytest.mark.parametrize(
    "options",
    [("linear_fit",), ("easier", "--become", "identity"), ("easier", "--no-fold")],
)
def test_a_network_without_some_layers_is_written_and_loads(options: tuple[str, ...], folder: Path) -> None:
    printed = json.loads(commands.done(*RUN, "--method", *options, "--count", 1, "--out", "run", "--json"))
    assert [one["kept"] for one in printed["rounds"]] == [True]
    plan = json.loads((folder / "run" / "plan.json").read_text())
    assert len([edit for edit in plan["layers"] if edit["action"] != "fold"]) == 1
    for name in ("model", "round-1"):
        found = storage.load(
            folder / "run" / f"{name}.safetensors", build=lambda: sources.build("mine.py:build", 0, {})
        )
        assert sum(p.numel() for p in found.parameters()) == printed["steps"][-1]["measurement"]["parameters"]
    again = commands.data("measure", *MODEL, *DATA, "--weights", "run/model.safetensors")
    assert again["quality"]["accuracy"] == printed["steps"][-1]["measurement"]["quality"]["accuracy"]
    assert read(folder / "run" / "recipe.toml").stages[0].fold is ("--no-fold" not in options)


def test_where_layers_cannot_become_one_no_table_of_them_is_shown(folder: Path) -> None:
    (folder / "padded.py").write_text(PADDED)
    shown = commands.done("layers", "--model", "padded.py:build", "--data", "padded.py:task")
    assert "No layers after one another could become one." in shown
    assert "Stretches" not in shown and "multiply-adds" not in shown


def test_a_network_of_the_zoo_collapses() -> None:
    options = ("--model", "zoo:mlp?hidden=16,16", "--data", "sklearn:digits", "--train", 1, "--recover", 0)
    text = commands.done("compress", *options, "--method", "linear_fit", "--count", 1, "--out", "run")
    assert "1 of 1 round kept" in text
    assert "0 of 0 units" not in text
    assert "removes nothing" not in text


def test_a_run_of_layers_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--method", "easier", "--count", 2, "--rounds", 2, "--out")
    commands.done(*RUN, *options, "whole")

    def stop(*_: object) -> None:
        raise SystemExit(3)

    real = running.resuming.save

    def once(*given: object) -> None:
        real(*given)  # type: ignore[arg-type]
        stop()

    with monkeypatch.context() as patch:
        patch.setattr(running.resuming, "save", once)
        assert commands.run(*RUN, *options, "run").exit_code == 3
    commands.done(*RUN, *options, "run", "--resume")
    assert (folder / "run" / "plan.json").read_text() == (folder / "whole" / "plan.json").read_text()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--method", "linear_fit", "--become", "colapse"), "form that a layer can become"),
        (("--method", "magnitude", "--become", "affine"), "removes units; leave it out"),
        (("--method", "linear_fit", "--compensate", "mean"), "give reconstruct or none"),
        (("--method", "linear_fit", "--count", 5), "5 layers are to go"),
        (("--method", "easier", "--macs", "50%"), "an activation made linear"),
        (("--method", "easier", "--params", "50%"), "for methods of units"),
        (("--method", "linear_fit", "--protect", "nowhere", "--count", 1), "layer to protect"),
        (("--method", "block_influence", "--count", 1), "path around"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(options: tuple[object, ...], reason: str) -> None:
    assert reason in commands.refusal(*RUN, *options, "--out", "run")


def test_the_layers_that_can_go_are_listed_with_what_they_cost() -> None:
    found = commands.data("layers", "--model", "zoo:mlp?hidden=32,24", "--data", "sklearn:digits")
    assert [each["operator"] for each in found["activations"]] == ["relu", "relu"]
    assert found["macs"] == 64 * 32 + 32 * 24 + 24 * 10
    (first, *others) = found["stretches"]
    assert first["macs_after"] == first["inputs"] * first["outputs"]
    names = {(each["name"],) for each in found["activations"]}
    assert {tuple(each["activations"]) for each in (first, *others)} <= names


def test_what_each_candidate_would_save_is_shown_and_timed() -> None:
    network = ("--model", "zoo:mlp?hidden=32,24", "--data", "sklearn:digits")
    found = commands.data("layers", *network, "--latency", "--rows", 4)
    assert [price["become"] for price in found["prices"]] == ["collapse"] * len(found["stretches"])
    for price, stretch in zip(found["prices"], found["stretches"], strict=True):
        assert price["before"]["macs"] - price["after"]["macs"] == stretch["macs"] - stretch["macs_after"]
        assert [each["batch_size"] for each in price["latency"]] == [4, 4]
    text = commands.done("layers", *network, "--become", "affine")
    assert "The network as affine, each alone: of 3 layers" in text
    assert "Faster" not in text


def test_nepenthe_masks_and_then_takes_layers(folder: Path) -> None:
    options = ("--method", "nepenthe", "--zeta", 0.3, "--rounds", 2, "--count", 1, "--out", "run", "--json")
    printed = json.loads(commands.done(*RUN, *options))
    assert [{edit["action"] for edit in one["plan"]["layers"]} - {"fold"} for one in printed["rounds"]] == [
        *({"mask"}, {"mask"}),
        {"affine"},
    ]
    recipe = read(folder / "run" / "recipe.toml")
    assert [stage.form for stage in recipe.stages] == ["mask", "affine"]
    assert recipe.stages[0].zeta == pytest.approx(0.3)
    storage.load(folder / "run" / "model.safetensors", build=lambda: sources.build("mine.py:build", 0, {}))
    assert "--zeta is for nepenthe" in commands.run(*RUN, "--method", "easier", "--zeta", 0.3, "--out", "x").output
    assert "no other end" in commands.run(*RUN, "--method", "easier", "--to-the-end", "--count", 1, "--out", "x").output


def test_to_the_end_every_layer_goes_and_every_network_is_kept(folder: Path) -> None:
    commands.done(*RUN, "--method", "easier", "--become", "identity", "--no-fold", "--to-the-end", "--out", "run")
    plan = json.loads((folder / "run" / "plan.json").read_text())
    kept = sorted(path.name for path in (folder / "run").glob("round-*.safetensors"))
    assert kept == [f"round-{number + 1}.safetensors" for number in range(len(plan["layers"]))]
    assert len(kept) > 1


@pytest.fixture
def weights(folder: Path) -> Path:
    """A file with the weights of a network of three layers, as they are drawn."""
    storage.save(sources.build("mine.py:build", 0, {}), folder / "w.safetensors", builder="mine.py:build")
    return folder / "w.safetensors"


@pytest.mark.parametrize(
    ("method", "amount", "more"),
    [
        ("tlc", ("--count", 1), ()),
        ("easier", ("--below", 1e9), ("--become", "identity")),
        ("linear_fit", ("--macs", "90%"), ()),
        ("tlc", ("--count", 1), ("--no-fold", "--compensate", "none")),
    ],
)
def test_walked_by_hand_layers_go_as_in_compress(
    method: str, amount: tuple[object, ...], more: tuple[str, ...], weights: Path
) -> None:
    given = (*MODEL, *DATA, "--weights", weights)
    commands.done("compress", *given, "--method", method, *amount, *more, "--recover", 0, "--out", "run")

    choosing = more if more[:1] == ("--become",) else ()
    commands.done("score", *given, "--method", method)
    planned = commands.data("plan", "scores.json", *amount, *choosing)
    making = () if choosing else more
    made = commands.data("apply", *given, "--plan", "plan.json", *making)

    names = ("small.safetensors", "run/model.safetensors")
    plans = [storage.read_plan(name) for name in names]
    assert None not in plans and len({to_json(plan) for plan in plans if plan}) == 1
    ours, wanted = (storage.load(name, build=lambda: sources.build("mine.py:build", 0, {})) for name in names)
    assert str(ours) == str(wanted)
    assert [k for k, v in wanted.state_dict().items() if not torch.equal(v, ours.state_dict()[k])] == []
    assert [one["name"] for one in planned["layers"]] == [
        edit["name"] for edit in sorted(made["layers"], key=lambda edit: edit["rank"]) if edit["action"] != "fold"
    ]
    assert made["certificate"] is None


def test_a_plan_tells_what_collapsing_saves(weights: Path) -> None:
    commands.done("score", *MODEL, *DATA, "--weights", weights, "--method", "linear_fit")
    planned = commands.data("plan", "scores.json", "--count", 1)
    assert planned["become"] == "collapse" and planned["of"] == 2
    before, after = planned["macs"]
    assert before == 4 * 12 + 12 * 12 + 12 * 2
    text = commands.done("plan", "scores.json", "--count", 1)
    assert f"MACs: {before:,} → {after:,}" in text
    made = commands.data("apply", *MODEL, *DATA, "--weights", weights, "--plan", "plan.json")
    measured = commands.data("measure", *MODEL, *DATA, "--weights", "small.safetensors", "--no-latency")
    assert measured["macs"] == after and measured["parameters"] == made["parameters"][1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--count", 3), "3 layers are to go, but 2 can"),
        (("--params", "50%"), "for methods of units"),
        (("--latency", "0.5x"), "for methods of units"),
        (("--macs", "50%"), "an activation made linear"),
        (("--count", 1, "--become", "colapse"), "did you mean collapse"),
        (("--count", 1, "--become", "mask"), "no plan holds that"),
        (("--count", 1, "--multiple-of", 8), "--multiple-of is for units"),
        (("--count", 1, "--protect", "nowhere"), "layer to protect"),
    ],
)
def test_what_no_plan_of_layers_can_be_is_refused(options: tuple[object, ...], reason: str, weights: Path) -> None:
    commands.done("score", *MODEL, *DATA, "--weights", weights, "--method", "easier")
    assert reason in commands.refusal("plan", "scores.json", *options)


def test_masks_are_refused_in_plans_with_the_command_that_makes_them(weights: Path) -> None:
    commands.done("score", *MODEL, *DATA, "--weights", weights, "--method", "nepenthe")
    assert "use `secateur compress --method nepenthe`" in commands.refusal("plan", "scores.json", "--count", 1)
    assert commands.data("plan", "scores.json", "--count", 1, "--become", "affine")["become"] == "affine"


def test_a_plan_of_layers_is_refused_where_it_does_not_fit(weights: Path, folder: Path) -> None:
    given = (*MODEL, *DATA, "--weights", weights)
    commands.done("score", *given, "--method", "easier")
    commands.done("plan", "scores.json", "--count", 1)
    line = commands.refusal("apply", *given, "--plan", "plan.json", "--compensate", "mean")
    assert "give reconstruct or none" in line
    text = (folder / "plan.json").read_text()
    plan = from_json(text)
    (edit,) = plan.layers
    for odd, reason in (
        (replace(edit, name="9"), "'9' is not a known activation; known: 1, 3"),
        (replace(edit, action="collapse", name="9"), "'9' is not a known stretch of layers; known: 1, 3"),
        (replace(edit, action="afine"), "the plan chooses no layers of one form (found: afine)"),
    ):
        (folder / "plan.json").write_text(to_json(replace(plan, layers=(odd,))))
        assert reason in commands.refusal("apply", *given, "--plan", "plan.json")
    with pytest.raises(PlanError, match="only chooses 1 layers"):
        apply(sources.build("mine.py:build", 0, {}), plan)


def test_scores_of_layers_that_are_damaged_are_refused(weights: Path, folder: Path) -> None:
    commands.done("score", *MODEL, *DATA, "--weights", weights, "--method", "easier")
    found = json.loads((folder / "scores.json").read_text())
    for change in (
        {"activations": []},
        {"activations": [{**found["activations"][0], "units": "many"}]},
        {"stretches": [{**found["stretches"][0], "modules": []}]},
        {"macs": None},
    ):
        (folder / "scores.json").write_text(json.dumps(found | change))
        assert "scores.json" in commands.refusal("plan", "scores.json", "--count", 1)


def test_scores_of_layers_from_before_they_had_plans_say_so(weights: Path, folder: Path) -> None:
    commands.done("score", *MODEL, *DATA, "--weights", weights, "--method", "tlc", "--out", "scores.json")
    found = json.loads((folder / "scores.json").read_text())
    for new in ("activations", "stretches", "macs"):
        del found[new]
    (folder / "scores.json").write_text(json.dumps(found))

    refusal = commands.refusal("plan", "scores.json", "--count", 1)

    assert "neither sites nor layers" in refusal and "write them with `secateur score`" in refusal
