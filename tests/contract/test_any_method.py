"""What every method promises, of units or of layers; methods are found by their files."""

import copy

import pytest
import torch

from footprint import untouched
from secateur import methods
from secateur.errors import DataError, SettingsError
from secateur.scores import Method
from secateur.task import Task
from subjects import LAYERS, UNITS, WITHOUT_DATA, Kind, assert_equal, scored, sites_of, task_of, together, usual

KINDS = {"units": UNITS, "layers": LAYERS}

every_method = pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(kind, name, id=f"{word}-{name}") for word, kind in KINDS.items() for name in kind.methods],
)


@every_method
def test_a_method_is_the_name_of_its_file_and_the_settings_of_its_fields(kind: Kind, name: str) -> None:
    method = kind.methods[name]
    assert method.name == name
    assert isinstance(method, Method)
    for again in (copy.deepcopy(method), methods.get(name, **vars(method))):
        assert method == again
        assert hash(method) == hash(again)


@every_method
def test_scoring_leaves_the_model_and_the_data_as_they_were(kind: Kind, name: str) -> None:
    model = kind.net().train()
    model.norm.eval()
    model(torch.randn(4, 5)).sum().backward()
    task = task_of()
    before = copy.deepcopy(task.calibration)
    with untouched(model):
        methods.score(model, kind.find(model, task), task, kind.methods[name])
    for (x, y), (old_x, old_y) in zip(task.calibration, before, strict=True):
        assert torch.equal(x, old_x)
        assert torch.equal(y, old_y)


@every_method
@pytest.mark.parametrize("batch", [1, 7])
def test_how_the_data_is_batched_does_not_matter(kind: Kind, name: str, batch: int) -> None:
    model = kind.net().double()
    found = scored(kind, name, model, task_of(torch.float64, batch)).values
    assert_equal(found, scored(kind, name, model, task_of(torch.float64)).values, rtol=1e-10, atol=1e-13)


@every_method
def test_scoring_twice_gives_the_same_bits(kind: Kind, name: str) -> None:
    first = usual(kind, name).values
    torch.rand(3)  # the global generator plays no part
    assert_equal(scored(kind, name).values, first)


@every_method
def test_float32_agrees_with_float64(kind: Kind, name: str) -> None:
    found = usual(kind, name).values
    assert_equal(found, scored(kind, name, kind.net().double(), task_of(torch.float64)).values, rtol=1e-4, atol=1e-6)


@every_method
def test_no_data_is_an_error(kind: Kind, name: str) -> None:
    model, sites = kind.net(), sites_of(kind)
    if name in WITHOUT_DATA:
        assert methods.score(model, sites, Task.classification(), kind.methods[name]).values
        return
    for empty in (None, []):
        with pytest.raises(DataError, match="calibration"):
            methods.score(model, sites, Task.classification(calibration=empty), kind.methods[name])


@every_method
def test_one_row_is_too_few_for_what_looks_at_data(kind: Kind, name: str) -> None:
    if name in WITHOUT_DATA:
        assert scored(kind, name, task=task_of(rows=1)).values
        return
    with pytest.raises(DataError, match="1 row"):
        scored(kind, name, task=task_of(rows=1))


@every_method
def test_scoring_together_is_scoring_alone(kind: Kind, name: str) -> None:
    assert list(together(kind)) == list(kind.methods)
    found, wanted = together(kind)[name], usual(kind, name)
    assert_equal(found.values, wanted.values)
    assert found.comparable == wanted.comparable


@every_method
def test_an_unknown_setting_is_refused(kind: Kind, name: str) -> None:
    with pytest.raises(SettingsError, match="colour"):
        methods.get(kind.methods[name].name, colour="red")
