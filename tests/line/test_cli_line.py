"""The line walked by hand, from command to command."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import commands
from commands import DATA, MODEL
from secateur import sources, storage
from secateur.cli.app import COMMANDS
from secateur.plan import from_json

EXAMPLES = re.compile(r"^ +secateur (?:.*\\\n)*.*$", re.MULTILINE)


def examples(command: str) -> list[list[str]]:
    """The worked examples of a command's docstring, as arguments."""
    text = next(run.__doc__ for run in COMMANDS if run.__name__ == command) or ""
    return [shlex.split(found.replace("\\\n", " "))[1:] for found in EXAMPLES.findall(text)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the line was walked: trained, scores, plan, small, recovered."""
    folder = tmp_path_factory.mktemp("walked")
    with pytest.MonkeyPatch.context() as patch:
        commands.settle(folder, patch)
        commands.done("recover", *MODEL, *DATA, "--epochs", 5, "--learning-rate", 0.05, "--out", "trained.safetensors")
        given = (*MODEL, *DATA, "--weights", "trained.safetensors")
        commands.done("score", *given, "--out", "scores.json")
        commands.done("plan", "scores.json", "--count", 4, "--out", "plan.json")
        commands.done("apply", *given, "--plan", "plan.json", "--out", "small.safetensors")
        small = (*MODEL, *DATA, "--weights", "small.safetensors")
        commands.done("recover", *small, "--teacher", "trained.safetensors", "--out", "recovered.safetensors")
    return folder


@pytest.mark.parametrize("command", [run.__name__ for run in COMMANDS])
def test_every_command_has_an_example_that_fits_a_terminal(command: str) -> None:
    help_text = commands.done(command, "--help")
    assert "Example:" in help_text
    found = examples(command)
    assert any(arguments[0] == command for arguments in found)
    text = next(run.__doc__ for run in COMMANDS if run.__name__ == command) or ""
    lines = [line[4:].rstrip() for found in EXAMPLES.findall(text) for line in found.splitlines()]
    assert max(map(len, lines)) <= 78


def test_the_examples_of_the_line_work_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (first, second) = examples("recover")
    for arguments in (
        first,
        *examples("sites"),
        *examples("layers"),
        *examples("methods"),
        *examples("score"),
        *examples("plan"),
        *examples("apply"),
        second,
        *examples("measure"),
        *examples("verify"),
        *examples("export"),
    ):
        commands.done(*arguments)
    wanted = {"trained", "scores", "plan", "small", "recovered"}
    assert {path.stem for path in tmp_path.iterdir()} == wanted


def test_a_walked_network_is_smaller_by_what_the_plan_says(walked: Path) -> None:
    plan = from_json((walked / "plan.json").read_text())
    small, trained = (load_file(walked / f"{name}.safetensors") for name in ("recovered", "trained"))
    assert plan.removed.keys() == {"0", "2"}
    assert small["0.weight"].shape == (8, 4)
    assert small["2.weight"].shape == (8, 8)
    assert trained["2.weight"].shape == (12, 12)


def test_training_keeps_the_plan_in_the_file(walked: Path) -> None:
    plans = [storage.read_plan(walked / f"{name}.safetensors") for name in ("small", "recovered")]
    assert plans[0] == plans[1]
    assert plans[0] is not None
    assert plans[0].certificate is not None


def test_a_second_cut_is_numbered_as_in_the_original(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    small = (*MODEL, *DATA, "--weights", "small.safetensors")
    commands.done("score", *small, "--out", "again.json")
    commands.done("plan", "again.json", "--count", 3, "--out", "second.json")
    commands.done("apply", *small, "--plan", "second.json", "--out", "smaller.safetensors")
    plan = storage.read_plan("smaller.safetensors")
    assert plan is not None
    assert {len(units) for units in plan.removed.values()} == {7}
    found = commands.data("verify", *MODEL, *DATA, "--weights", "trained.safetensors", "--cut", "smaller.safetensors")
    assert found["units_removed"] == 14


def test_verify_refuses_weights_that_do_not_belong_to_the_plan(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    plan = storage.read_plan("small.safetensors")
    build = lambda: sources.build("mine.py:build", 0, {})  # noqa: E731
    storage.save(build(), "uncut.safetensors", plan=plan, builder="mine.py:build")
    given = (*MODEL, *DATA, "--weights", "trained.safetensors")
    assert "misshapen" in commands.refusal("verify", *given, "--cut", "uncut.safetensors")
    assert "removes nothing" in commands.refusal("verify", *given, "--cut", "trained.safetensors")


def test_verify_compares_costs_and_quality_of_both(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    given = (*MODEL, *DATA, "--weights", "trained.safetensors")
    found = commands.data("verify", *given, "--cut", "recovered.safetensors")
    assert found["original"]["parameters"] == 4 * 12 + 12 + 12 * 12 + 12 + 12 * 2 + 2
    assert found["cut"]["parameters"] == 4 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2
    assert found["cut"]["macs"] == 4 * 8 + 8 * 8 + 8 * 2
    assert [one["batch_size"] for one in found["cut"]["latency"]] == [1, 32]
    assert found["certificate"]["relative_difference"] <= found["certificate"]["tolerance"]


def test_measuring_prints_json_and_nothing_else(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    given = (*MODEL, *DATA, "--weights", "recovered.safetensors")
    found = commands.data("measure", *given, "--split", "test", "--no-latency")
    assert found["parameters"] == 130
    assert found["macs_by_operator"] == {"linear": found["macs"]}
    assert found["peak_activation_bytes"] > 0
    assert found["latency"] == []
    assert 0 <= found["quality"]["accuracy"] <= 100


def test_scores_survive_the_file_bit_for_bit(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur import data, find_sites, score
    from secateur.cli import scorefile

    monkeypatch.chdir(walked)
    task = data.load("mine.py:task").task
    model = storage.load("trained.safetensors", build=lambda: sources.build("mine.py:build", 0, {}))
    sites = find_sites(model, task)
    wanted = score(model, sites, task, "dense")
    found, their_sites = scorefile.read(Path("scores.json"))
    assert all(torch.equal(found.values[name], wanted.values[name]) for name in sites.names)
    assert [site.axes for site in their_sites] == [site.axes for site in sites]
    assert their_sites.tensors == sites.tensors


def test_exporting_says_how_far_the_file_is_from_pytorch(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    given = (*MODEL, *DATA, "--weights", "recovered.safetensors")
    found = commands.data("export", *given, "--out", "small.pt2")
    assert found["max_difference"] <= 1e-4
    assert Path("small.pt2").stat().st_size == found["size_bytes"]


@pytest.mark.usefixtures("folder")
def test_sites_say_what_can_go_and_what_holds_the_rest() -> None:
    found = commands.data("sites", *MODEL, *DATA)
    assert [(site["name"], site["units"]) for site in found["sites"]] == [("0", 12), ("2", 12)]
    assert found["sites"][0]["parameters_per_unit"] == 4 + 1 + 12
    assert found["pinned"][0]["operator"] == "output"
    assert found["removable_parameters"] == found["parameters"] - 2


def test_methods_say_what_they_need_and_what_can_be_set() -> None:
    found = {method["name"]: method for method in commands.data("methods")}
    assert found["dense"]["needs_data"]
    assert found["dense"]["settings"] == [
        {"name": "measure", "default": "variance", "values": ["variance", "std", "weighted"]}
    ]
    assert found["dense"]["link"] == "https://arxiv.org/abs/2312.10560"
    assert not found["magnitude"]["needs_data"]
    assert found["magnitude"]["granularity"] == "unit"
    assert found["tlc"]["granularity"] == found["easier"]["granularity"] == "layer"
    assert found["tlc"]["needs_data"] and found["easier"]["needs_data"]


@pytest.mark.usefixtures("folder")
def test_settings_reach_the_method() -> None:
    rows = [
        commands.data("score", *MODEL, *DATA, "--method", "magnitude", "--set", f"p={p}", "--out", f"{p}.json")["sites"]
        for p in (1, 2)
    ]
    assert rows[0][0]["highest"] > rows[1][0]["highest"]  # the sum of a row's weights is more than their norm


@pytest.mark.usefixtures("folder")
def test_random_weights_are_never_passed_over_in_silence() -> None:
    outcome = commands.run("score", "--model", "zoo:mlp?hidden=8", *("--data", "sklearn:iris"), "--out", "s.json")
    assert outcome.exit_code == 0
    assert "weights are random" in outcome.stderr


@pytest.mark.usefixtures("folder")
def test_a_file_says_its_model_of_the_zoo_but_never_runs_code() -> None:
    iris = ("--data", "sklearn:iris")
    commands.done("recover", "--model", "zoo:mlp?hidden=8", *iris, "--epochs", 1, "--out", "zoo.safetensors")
    assert storage.read_builder("zoo.safetensors") == "zoo:mlp?hidden=8&features=4&outputs=3"
    commands.done("measure", "--weights", "zoo.safetensors", *iris, "--no-latency")
    commands.done("recover", *MODEL, *DATA, "--epochs", 0, "--out", "mine.safetensors")
    assert "--model mine.py:build" in commands.refusal("measure", "--weights", "mine.safetensors", *DATA)


@pytest.mark.usefixtures("folder")
def test_recovery_gives_back_an_average_where_that_is_asked_for() -> None:
    weights = []
    for decay in (0.0, 0.9):
        options = ("--epochs", 3, "--learning-rate", 0.05, "--ema-decay", decay, "--out", "found.safetensors")
        commands.done("recover", "--model", "zoo:mlp?hidden=8", "--data", "sklearn:iris", *options)
        weights.append(load_file("found.safetensors"))
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert "ema_decay: 1.0 is out of range" in commands.refusal(
        "recover", "--model", "zoo:mlp?hidden=8", "--data", "sklearn:iris", "--ema-decay", 1
    )


def test_a_plan_that_removes_nothing_says_so(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    outcome = commands.run("plan", "scores.json", "--below", -1, "--out", "nothing.json")
    assert outcome.exit_code == 0
    assert "removes nothing" in outcome.stderr


def test_a_report_is_made_from_the_result_alone(tmp_path: Path) -> None:
    from fixtures.report_sample import sample
    from secateur.result import to_json

    (tmp_path / "result.json").write_text(to_json(sample()))
    found = commands.data("report", tmp_path)
    assert json.loads(json.dumps(found)) == {"out": str(tmp_path / "report.html")}
    assert "<html" in (tmp_path / "report.html").read_text()[:300]


def test_conflicting_options_are_wrong_usage(walked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walked)
    for options in (
        (),
        ("--remove", "40%", "--count", 3),
        ("--count", 3, "--of", "model"),
        ("--remove", "9%", "--relative"),
    ):
        assert commands.run("plan", "scores.json", *options).exit_code == 2


def test_scores_tell_what_two_halves_of_the_data_agree_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--model", "zoo:mlp?hidden=9,9", "--data", "sklearn:digits", "--method", "dense", "--stability")
    assert "Two halves of the data, when half of the units go" in commands.done("score", *given)
    found = json.loads(commands.done("score", *given, "--json"))["sites"]
    assert {site["stability"]["chance"] for site in found} == {4 / 9}
    assert all(-1.0 <= site["stability"]["correlation"] <= 1.0 for site in found)
    assert "stability" not in json.loads(commands.done("score", *given[:-1], "--json"))["sites"][0]
