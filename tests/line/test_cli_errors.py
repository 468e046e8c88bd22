"""Bad input: one clear line with place, numbers and remedy, exit code 1, nothing written half."""

import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import commands
from commands import DATA, MODEL
from secateur import storage

ROWS = [f"{(7 * i) % 11 / 3:.3f},{(5 * i) % 13 / 4:.3f},{i % 2}" for i in range(60)]
ZOO = ("--model", "zoo:mlp?hidden=8,8")


pytestmark = pytest.mark.usefixtures("folder")


def net() -> nn.Sequential:
    """What `mine.py:build` makes."""
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2))


def compress(*options: object) -> str:
    """How compressing into the folder `out` is refused."""
    return commands.refusal("compress", *options, "--out", "out")


@pytest.mark.parametrize(
    ("lines", "target", "parts"),
    [
        (["a,b,y", *ROWS], "z", ["t.csv", "none of its 3 columns is the target 'z'", "a, b, y"]),
        (["a,b,y", *ROWS, "oops,1,0"], "y", ["column 'a'", "1 of 61", "'oops' in row 61", "missing=TEXT"]),
        (["a,b,y", *(f"{i},1,0" for i in range(40))], "y", ["all 40 rows of target 'y' are '0'"]),
        ([], "y", ["t.csv", "empty"]),
        (["a,b,y"], "y", ["t.csv", "0 rows", "at least 10"]),
        (["a,b,y", *ROWS, "inf,1,0"], "y", ["column 'a' holds inf in row 61"]),
    ],
    ids=["no target", "text among numbers", "one class", "empty", "header only", "infinity"],
)
def test_a_table_that_teaches_nothing_is_refused(lines: list[str], target: str, parts: list[str]) -> None:
    Path("t.csv").write_text("\n".join(lines))
    line = compress(*ZOO, "--data", f"csv:t.csv?target={target}")
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("share", ["0", "1", "1.5", "nan", "150%", "-1", "much"])
def test_a_share_outside_its_range_is_refused(share: str) -> None:
    line = compress(*MODEL, *DATA, f"--remove={share}")
    assert line.startswith("--remove: ")
    assert "40%" in line or "above 0 and below 1" in line


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--params", 1), "1 of 242 parameters cannot be reached"),
        (("--macs", 0), "give at least 1"),
        (("--count", 12), "12 of 12 units are to go; give 11 or fewer"),
        (("--below", "nan"), "finite"),
        (("--remove", "40%", "--of", "layer"), "'site' or 'model'"),
        (("--remove", "40%", "--protect", "9*"), "'9*' is not a known site"),
        (("--remove", "40%", "--rounds", 0), "at least one"),
        (("--remove", "40%", "--recover=-1"), "from 0 up"),
        (("--remove", "40%", "--compensate", "men"), "did you mean mean?"),
        (("--remove", "40%", "--max-drop", "nan"), "NaN"),
        (("--method", "densee"), "'densee' is not a known method; did you mean dense or easier?"),
        (("--set", "measur=std"), "did you mean measure?"),
        (("--set", "measure=variants"), "did you mean variance?"),
        (("--method", "chance", "--set", "seed=x"), "it must be a whole number"),
        (("--set", "measure"), "NAME=VALUE"),
        (("--recipe", "none.toml"), "none.toml"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_setting_that_cannot_be_met_is_refused_before_the_work(options: tuple[object, ...], part: str) -> None:
    assert part in compress(*MODEL, *DATA, *options)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ("x=", "not TOML"),
        ("max_drop = 'much'", "wrong type"),
        ("[[stage]]\nmethd = 'dense'", "did you mean method"),
        ("[[stage]]\nshare = 1.0", "above 0 and below 1"),
        ("[[stage]]\nmethod = 'chance'\nsettings = { seed = 'x' }", "it must be a whole number"),
        ("[[stage]]\nshare = 0.5\ncount = 3", "one budget"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: str, part: str) -> None:
    Path("r.toml").write_text(recipe)
    line = compress(*MODEL, *DATA, "--recipe", "r.toml")
    assert line.startswith("r.toml: ")
    assert part in line


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("zoo:mlpp", "did you mean mlp?"),
        ("zoo:mlp?hiden=3", "did you mean hidden?"),
        ("zoo:mlp?hidden=a&outputs=2", "whole numbers"),
        ("keras:resnet18", "is not a known model address"),
        ("zoo:", "incomplete"),
        ("mine.py", "incomplete"),
        ("yours.py:build", "no such file"),
        ("mine.py:biuld", "did you mean build"),
        ("mine.py:no_model", "returned a int"),
        ("zoo:mlp?features=3&outputs=2", "fails on the example"),
    ],
)
def test_a_model_address_that_leads_nowhere_is_refused(model: str, part: str) -> None:
    assert part in commands.refusal("sites", "--model", model, *DATA)


def test_a_model_in_which_nothing_can_go_is_refused_with_the_reasons() -> None:
    line = compress("--model", "mine.py:rigid", *DATA, "--remove", "40%")
    assert "nothing can be removed" in line
    assert "inner: 12 units, sort (no rule for this operator)" in line
    assert "outer: 2 units, output" in line


def test_weights_that_do_not_fit_are_refused_with_their_names() -> None:
    torch.save(nn.Linear(3, 3).state_dict(), "other.pth")
    line = commands.refusal("measure", *MODEL, *DATA, "--weights", "other.pth")
    assert line.startswith("other.pth: ")
    assert "6 missing" in line
    assert "2 unexpected ('bias', 'weight')" in line


def test_damaged_weights_are_refused() -> None:
    torch.save(net().state_dict(), "cut.pth")
    Path("cut.pth").write_bytes(Path("cut.pth").read_bytes()[:700])
    assert "damaged" in commands.refusal("measure", *MODEL, *DATA, "--weights", "cut.pth")
    storage.save(net(), "flipped.safetensors")
    content = bytearray(Path("flipped.safetensors").read_bytes())
    content[-3] ^= 1
    Path("flipped.safetensors").write_bytes(content)
    assert "checksum" in commands.refusal("measure", *MODEL, *DATA, "--weights", "flipped.safetensors")


class Hostile:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pwned",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run() -> None:
    torch.save({"weights": Hostile()}, "new.pth")
    torch.save({"weights": Hostile()}, "old.pth", _use_new_zipfile_serialization=False)
    Path("plain.pth").write_bytes(pickle.dumps({"weights": Hostile()}))
    for name in ("new.pth", "old.pth", "plain.pth"):
        line = commands.refusal("measure", *MODEL, *DATA, "--weights", name)
        assert "run" in line
        assert not Path("pwned").exists()


def test_nan_weights_are_refused_by_name() -> None:
    spoilt = net()
    with torch.no_grad():
        spoilt[2].weight[1, 1] = float("nan")
    torch.save(spoilt.state_dict(), "nan.pth")
    storage.save(spoilt, "nan.safetensors")
    for name in ("nan.pth", "nan.safetensors"):
        line = compress(*MODEL, *DATA, "--weights", name)
        assert "2.weight: 1 of 144 weights are NaN or infinite" in line


def test_data_with_nan_are_refused_with_the_batch() -> None:
    line = compress(*MODEL, "--data", "mine.py:spoilt", "--remove", "40%")
    assert "train batch 0: 1 of 240 input values are NaN or infinite" in line


def test_calibration_of_one_row_is_refused() -> None:
    line = commands.refusal("score", *MODEL, "--data", "mine.py:one_row")
    assert "the calibration data has 1 row" in line


def test_a_drop_without_validation_data_is_refused() -> None:
    line = compress(*MODEL, "--data", "mine.py:unjudged")
    assert "no validation data" in line
    assert "--remove" in line


@pytest.mark.parametrize("place", ["mine.py/run", "mine.py", "/proc/nowhere/run"])
def test_a_run_folder_that_cannot_be_made_is_refused(place: str) -> None:
    line = commands.refusal("compress", *MODEL, *DATA, "--remove", "40%", "--out", place)
    assert line.startswith(place)
    assert "another folder" in line


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused() -> None:
    Path("locked").mkdir(mode=0o500)
    line = commands.refusal("compress", *MODEL, *DATA, "--remove", "40%", "--out", "locked")
    assert "no permission" in line


@pytest.mark.parametrize("command", ["score", "recover"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(command: str) -> None:
    line = commands.refusal(command, *MODEL, *DATA, "--out", "nowhere/file")
    assert line.startswith("nowhere/file: cannot be written: its folder does not exist")
    assert "folder" in commands.refusal(command, *MODEL, *DATA, "--out", ".")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda text: text.replace('"format": 1', '"format": 2'), "format 2"),
        (lambda text: text.replace('"positions": [0,', '"positions": [99,'), "do not fit"),
        (lambda text: text.replace('"sites": [{', '"sites": [3, {'), "not scores"),
        (lambda text: text[:100], "not JSON"),
        (lambda _: "[]", "not scores"),
    ],
)
def test_damaged_scores_are_refused(change, part: str) -> None:
    commands.done("score", *MODEL, *DATA, "--method", "magnitude")
    text = Path("scores.json").read_text()
    assert change(text) != text
    Path("scores.json").write_text(change(text))
    line = commands.refusal("plan", "scores.json", "--remove", "40%")
    assert line.startswith("scores.json: ")
    assert part in line


@pytest.mark.parametrize(
    ("pattern", "replacement", "part"),
    [
        ('"axis": 0', '"axis": "0"', "not a plan"),
        ('"tensor": "0.weight"', '"tensor": "9.weight"', "no such tensor"),
        ('"length": 12', '"length": 13', "expects 13 entries"),
        ('"site": "0"', '"site": "9"', "make the plan for this model"),
        (r'\{"unit": \d+, "score": [^,]+, "rank": 0\}, ', "", "differs from the silenced original"),
    ],
)
def test_a_damaged_plan_cuts_nothing(pattern: str, replacement: str, part: str) -> None:
    commands.done("score", *MODEL, *DATA, "--method", "magnitude")
    commands.done("plan", "scores.json", "--count", 4)
    text = Path("plan.json").read_text()
    assert re.search(pattern, text)
    Path("plan.json").write_text(re.sub(pattern, replacement, text, count=1))
    assert part in commands.refusal("apply", *MODEL, *DATA, "--plan", "plan.json")


def test_debugging_shows_the_traceback() -> None:
    from secateur.errors import UnknownNameError

    with pytest.raises(UnknownNameError):
        commands.run("score", *MODEL, *DATA, "--method", "densee", "--debug")


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("secateur.finding.find_sites", interrupt)
    outcome = commands.run("sites", *MODEL, *DATA)
    assert outcome.exit_code == 130
    assert outcome.stderr.splitlines() == ["interrupted; nothing was written."]
