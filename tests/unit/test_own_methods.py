"""Methods of a user's own, from a file of theirs or defined beside the call: everywhere where a name of ours goes."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

import secateur as sc
from own_methods import FILE
from secateur import comparing, methods, weights
from secateur.errors import SettingsError, UnknownNameError
from secateur.recipe import from_dict, to_dict
from secateur.scores import Scores


@dataclass(frozen=True)
class Norms:
    """The same method, known to nobody by a file."""

    power: int = 2
    name = "norms"
    granularity = "unit"

    def score(self, model: nn.Module, sites: sc.Sites, task: sc.Task) -> Scores:
        del task
        rows = {site.name: weights.making(model, site) for site in sites}
        return Scores(self.name, {name: row.double().norm(self.power, dim=1) for name, row in rows.items()})


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "norms.py"
    path.write_text(FILE)
    return f"{path}:Norms"


def subject() -> tuple[nn.Module, sc.Task]:
    torch.manual_seed(0)
    inputs = torch.randn(40, 4)
    rows = [(inputs, (inputs[:, 0] > 0).long())]
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 2)), sc.Task.classification(
        train=rows, validation=rows
    )


def test_a_class_in_a_file_is_found_by_its_address_with_its_settings(file: str) -> None:
    assert vars(methods.get(file)) == {"power": 2}
    assert methods.get(file, power=1).power == 1  # type: ignore[attr-defined]
    with pytest.raises(UnknownNameError, match=r"'pover' is not a known setting of .*did you mean power"):
        methods.get(file, pover=1)


def test_its_recipe_is_read_again_from_plain_data(file: str) -> None:
    recipe = sc.Recipe((sc.Stage(methods.get(file, power=1), sc.Share(0.5), recovery=None),))
    again = from_dict(json.loads(json.dumps(to_dict(recipe))))
    assert to_dict(again) == to_dict(recipe)
    model, task = subject()
    small, large = (sc.compress(model, task, one).plan.removed for one in (again, recipe))
    assert small == large
    usual = sc.compress(
        model, task, sc.Recipe((sc.Stage(methods.get("magnitude", p=1), sc.Share(0.5), recovery=None),))
    )
    assert usual.plan.removed == small


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Nameless", "lacks name, granularity or score"),
        ("Needy", "missing a required argument: 'power'"),
        ("Plain", "no dataclass of this file"),
        ("Scores", "no dataclass of this file"),
        ("Failing", f"KeyError in line {FILE[: FILE.index('raise')].count(chr(10)) + 1}: 'nothing here'"),
        ("Norm", "did you mean Norms"),
    ],
)
def test_what_is_no_method_is_refused(file: str, name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        methods.get(file.replace("Norms", name))


def test_a_comparison_takes_methods_that_nobody_else_knows() -> None:
    model, task = subject()
    grid = comparing.Grid((Norms(power=1), replace(Norms(), power=2), "magnitude"), (sc.Share(0.5),), ("none",))
    found = {trial.cell.method: trial for trial in comparing.compare(model, task, grid).trials}
    assert set(found) == {"norms (power=1)", "norms", "magnitude"}
    assert not [trial.failure for trial in found.values() if trial.failure]
    assert found["norms"].shape == found["magnitude"].shape  # the L2 norm, both of them
