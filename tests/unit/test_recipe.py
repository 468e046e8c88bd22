"""Recipes: from Python, dictionaries and TOML, there and back; what is impossible is refused."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur import methods
from secateur.budget import Below, Budget, Count, Latency, Macs, Params, Share
from secateur.budget.written import budget_of
from secateur.cli.tomlfile import written
from secateur.compensation import HOWS
from secateur.errors import FileError, SettingsError, UnknownNameError
from secateur.recipe import Recipe, Stage, from_dict, read, to_dict
from secateur.recovery import Recovery
from secateur.staging import recipe_of

SHARES = st.floats(0.01, 0.99)
BUDGETS: st.SearchStrategy[Budget] = st.one_of(
    st.builds(Share, SHARES, st.sampled_from(("site", "model"))),
    st.builds(Count, st.integers(9, 40)),
    st.builds(Count, st.dictionaries(st.text(max_size=4), st.integers(0, 9), min_size=1, max_size=3)),
    st.builds(Below, st.floats(-9, 9), st.just(False)),
    st.builds(Below, SHARES, st.just(True)),
    st.builds(Params, SHARES | st.integers(1, 10**9)),
    st.builds(Macs, SHARES | st.integers(1, 10**9)),
    st.builds(Latency, SHARES, st.just("x"), st.integers(1, 64), st.integers(1, 4)),
    st.builds(Latency, st.floats(1e-3, 1e6), st.just("ms")),
)
METHODS = st.sampled_from(
    (
        methods.get("dense"),
        methods.get("dense", measure="weighted"),
        methods.get("magnitude", p=1),
        methods.get("chance", seed=3),
        methods.get("activation_std"),
    )
)
RECOVERIES = st.builds(
    Recovery,
    epochs=st.integers(0, 5),
    optimizer=st.sampled_from(("adamw", "sgd")),
    patience=st.none() | st.integers(1, 5),
    clip=st.none() | SHARES,
    milestones=st.lists(SHARES, max_size=2).map(tuple),
    keep_zeros=st.booleans(),
    ema_decay=st.sampled_from((0.0, 0.99)),
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    return Recipe(
        tuple(draw(st.lists(stages(), min_size=1, max_size=3))),
        max_drop=draw(st.none() | st.floats(-5, 5)),
        from_scratch=draw(st.none() | RECOVERIES),
    )


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    budget = draw(BUDGETS)
    is_for_all = isinstance(budget, Params | Macs | Latency) or getattr(budget, "of", "site") == "model"
    return Stage(
        method=draw(METHODS),
        budget=budget,
        rounds=draw(st.integers(1, 9)),
        compensate=draw(st.sampled_from(HOWS)),
        recovery=draw(st.none() | RECOVERIES),
        distil=draw(st.booleans()),
        protect=tuple(draw(st.lists(st.text(max_size=4), max_size=2))),
        one_by_one=not is_for_all and draw(st.booleans()),
    )


# --- there and back ---------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(recipes())
def test_a_recipe_survives_as_plain_data_and_as_toml(recipe: Recipe) -> None:
    assert from_dict(to_dict(recipe)) == recipe
    assert from_dict(tomllib.loads(written(to_dict(recipe)))) == recipe


EXAMPLE = """
max_drop = 1.5

[[stage]]
method = "dense"
settings = { measure = "std" }
share = "40%"
rounds = 3
compensate = "least_squares"
recover = 4
protect = ["head", "layers.0.*"]

[[stage]]
method = "magnitude"
macs = "2M"
recover = false
distil = false

[from_scratch]
epochs = 7
milestones = [0.25]
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(EXAMPLE)
    wanted = Recipe(
        (
            Stage(
                methods.get("dense", measure="std"),
                Share(0.4),
                rounds=3,
                compensate="least_squares",
                recovery=Recovery(epochs=4),
                protect=("head", "layers.0.*"),
            ),
            Stage(methods.get("magnitude"), Macs(2_000_000), recovery=None, distil=False),
        ),
        max_drop=1.5,
        from_scratch=Recovery(epochs=7, milestones=(0.25,)),
    )
    assert read(path) == recipe_of(path) == recipe_of(str(path)) == wanted
    assert recipe_of(wanted) is wanted


def test_what_a_file_leaves_out_has_the_defaults_of_python() -> None:
    assert from_dict({}) == from_dict({"stage": [{}]}) == Recipe()
    assert from_dict({"stage": {"method": "magnitude"}}) == recipe_of("magnitude")
    assert from_dict({"stage": [{"recover": 0}]}) == Recipe((Stage(recovery=None),))


def test_a_methods_name_is_a_recipe() -> None:
    assert recipe_of("magnitude") == Recipe((Stage(methods.get("magnitude")),))
    with pytest.raises(UnknownNameError, match="did you mean magnitude"):
        recipe_of("magnitud")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"share": 0.4}, Share(0.4)),
        ({"share": "40%", "of": "model"}, Share(0.4, "model")),
        ({"count": 3}, Count(3)),
        ({"count": {"a": 3, "b": 0}}, Count({"a": 3, "b": 0})),
        ({"below": 0.01}, Below(0.01)),
        ({"below": 1, "relative": True}, None),
        ({"below": 0.2, "relative": True}, Below(0.2, relative=True)),
        ({"params": "25%"}, Params(0.25)),
        ({"params": "20k"}, Params(20_000)),
        ({"macs": 300}, Macs(300)),
        ({"latency": 0.6}, Latency(0.6)),
        ({"latency": "0.6x", "batch_size": 32}, Latency(0.6, "x", 32)),
        ({"latency": "4ms", "threads": 2}, Latency(4.0, "ms", 1, 2)),
        ({"share": None}, None),
    ],
)
def test_a_budget_is_written_as_people_write_amounts(given: dict[str, Any], wanted: Budget | None) -> None:
    if given == {"below": 1, "relative": True}:
        with pytest.raises(SettingsError, match="below 1"):
            budget_of(given)
    else:
        assert budget_of(given) == wanted


# --- rounds -----------------------------------------------------------------------------------------------------------


@given(SHARES, st.integers(1, 8))
def test_rounds_together_remove_the_share(ratio: float, rounds: int) -> None:
    left = math.prod(1.0 - Stage(budget=Share(ratio), rounds=rounds).part(number).ratio for number in range(rounds))
    assert left == pytest.approx(1.0 - ratio)


@given(SHARES, st.integers(2, 8), st.integers(2, 40))
def test_rounds_together_remove_the_share_to_the_unit(ratio: float, rounds: int, units: int) -> None:
    stage = Stage(budget=Share(ratio), rounds=rounds)
    left = units
    for number in range(rounds):
        gone = stage.part(number, {"a": (units, left, 1)}).units["a"]
        assert gone >= 0
        left -= gone
    assert left == max(units - int(ratio * units + 0.5 + 1e-9), 1)


def test_one_round_is_the_share_itself() -> None:
    assert Stage(budget=Share(0.3)).part(0, {"a": (8, 8, 1)}) == Share(0.3)


@pytest.mark.parametrize("kind", [Params, Macs, Latency])
def test_rounds_together_reach_the_share_that_may_be_left(kind: type[Params | Macs | Latency]) -> None:
    parts = [Stage(budget=kind(0.2), rounds=3).part(number) for number in range(3)]
    assert math.prod(part.limit for part in parts) == pytest.approx(0.2)


@given(st.integers(1, 30), st.integers(1, 8))
def test_rounds_together_remove_the_count(units: int, rounds: int) -> None:
    if units < rounds:
        with pytest.raises(SettingsError, match=f"count is {units} in {rounds} rounds"):
            Stage(budget=Count(units), rounds=rounds)
    else:
        parts = [Stage(budget=Count(units), rounds=rounds).part(number).units for number in range(rounds)]
        assert sum(parts) == units
        assert max(parts) - min(parts) <= 1


@given(st.integers(0, 30), st.integers(1, 8))
def test_rounds_together_remove_the_count_of_each_site(units: int, rounds: int) -> None:
    stage = Stage(budget=Count({"a": units, "b": 1}), rounds=rounds)
    parts = [stage.part(number).units for number in range(rounds)]
    assert sum(part["a"] for part in parts) == units
    assert sum(part["b"] for part in parts) == 1
    assert parts[0]["a"] == max(part["a"] for part in parts)


@pytest.mark.parametrize("budget", [Below(0.1), Params(300), Macs(300), Latency(4.0, "ms")])
def test_what_cannot_be_shared_out_is_asked_of_every_round(budget: Budget) -> None:
    assert [Stage(budget=budget, rounds=2).part(number) for number in range(2)] == [budget, budget]


# --- what is refused --------------------------------------------------------------------------------------------------

IMPOSSIBLE = [
    ({"stages": []}, "did you mean stage"),
    ({"stage": []}, "has no stage"),
    ({"stage": "dense"}, "give a table"),
    ({"stage": [{"metod": "dense"}]}, "did you mean method"),
    ({"stage": [{"method": "dens"}]}, "did you mean dense"),
    ({"stage": [{"settings": {"mesure": "std"}}]}, "did you mean measure"),
    ({"stage": [{"settings": {"measure": "range"}}]}, "range"),
    ({"stage": [{"share": 0.5, "count": 3}]}, "share and count are given"),
    ({"stage": [{"share": 0}]}, "above 0 and below 1"),
    ({"stage": [{"share": 1.5}]}, "above 0 and below 1"),
    ({"stage": [{"share": math.nan}]}, "above 0 and below 1"),
    ({"stage": [{"share": "much"}]}, "not an amount"),
    ({"stage": [{"share": [0.5]}]}, "wrong type"),
    ({"stage": [{"count": 2.5}]}, "whole number"),
    ({"stage": [{"count": "40%"}]}, "whole number"),
    ({"stage": [{"count": {"a": 1.5}}]}, "whole number"),
    ({"stage": [{"count": 0}]}, "at least 1"),
    ({"stage": [{"rounds": 0}]}, "rounds is 0"),
    ({"stage": [{"rounds": 1.5}]}, "rounds is 1.5"),
    ({"stage": [{"rounds": "two"}]}, "rounds is 'two'"),
    ({"stage": [{"compensate": "meen"}]}, "did you mean mean"),
    ({"stage": [{"protect": "head"}]}, "give a list of patterns"),
    ({"stage": [{"recover": {"epocs": 3}}]}, "did you mean epochs"),
    ({"stage": [{"recover": {"epochs": -1}}]}, "epochs: -1"),
    ({"stage": [{"recover": "long"}]}, "give a table"),
    ({"stage": [{"one_by_one": True, "params": 300}]}, "site by site"),
    ({"stage": [{"one_by_one": True, "macs": 0.5}]}, "site by site"),
    ({"stage": [{"one_by_one": True, "share": 0.5, "of": "model"}]}, "site by site"),
    ({"max_drop": math.nan}, "max_drop is NaN"),
    ({"max_drop": "little"}, "wrong type"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("data", "found"), IMPOSSIBLE)
def test_impossible_settings_are_refused(data: dict[str, Any], found: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=found):
        from_dict(data)
    path = tmp_path / "recipe.toml"
    path.write_text(written(data))
    with pytest.raises(SettingsError, match=found) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for content in (b"stage = [", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(FileError, match="not TOML"):
            read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        recipe_of(str(tmp_path / "nothing.toml"))
