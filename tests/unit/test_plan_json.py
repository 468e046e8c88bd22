"""Plans: JSON bit for bit, and what is refused as none."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans import COUNTS, FLOATS, LAYERS, NAMES
from secateur.errors import PlanError
from secateur.plan import (
    Certificate,
    Cut,
    Edit,
    LayerEdit,
    Part,
    Plan,
    Removal,
    Swap,
    Untie,
    from_json,
    to_json,
)

ENTRIES = st.lists(COUNTS, max_size=4).map(tuple)
REMOVALS = st.builds(Removal, COUNTS, FLOATS, COUNTS)
EDITS = st.builds(
    Edit,
    NAMES,
    st.integers(0, 99),
    st.lists(REMOVALS, max_size=3).map(tuple),
    st.none() | FLOATS,
    st.lists(NAMES, max_size=3).map(tuple),
    NAMES,
)
FLAT = st.builds(
    Plan,
    NAMES,
    st.lists(EDITS, max_size=3).map(tuple),
    st.lists(st.builds(Cut, NAMES, COUNTS, COUNTS, ENTRIES), max_size=3).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
    st.none() | st.builds(Certificate, FLOATS, FLOATS, FLOATS, NAMES, NAMES),
    layers=st.lists(LAYERS, max_size=2).map(tuple),
)
PLANS = FLAT | st.builds(Plan, NAMES, layers=st.just(()), steps=st.lists(FLAT, max_size=2).map(tuple))


@given(PLANS)
def test_a_plan_survives_json_bit_for_bit(plan: Plan) -> None:
    text = to_json(plan)
    assert from_json(text) == plan
    assert to_json(from_json(text)) == text


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_scores_of_any_kind_survive(score: float) -> None:
    text = to_json(Plan("chosen", (Edit("a", 3, (Removal(1, score, 0),), score),)))
    (removal,) = from_json(text).edits[0].removed
    assert math.copysign(1.0, removal.score) == math.copysign(1.0, score)
    assert removal.score == score or math.isnan(score)
    assert to_json(from_json(text)) == text


GOOD = json.loads(to_json(Plan("chosen", (Edit("a", 3, (Removal(1, 0.5, 0),)),), (Cut("a.weight", 0, 3, (1,)),))))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "data",
    [
        [],
        "plan",
        {},
        {**GOOD, "format": 2},
        {**GOOD, "extra": 1},
        {name: value for name, value in GOOD.items() if name != "cuts"},
        {**GOOD, "cuts": [{"tensor": "a"}]},
        {**GOOD, "cuts": [{"tensor": "a", "axis": 0, "length": 3, "removed": ["1"]}]},
        {**GOOD, "cuts": [{"tensor": "a", "axis": "0", "length": 3, "removed": [1]}]},
        {**GOOD, "cuts": [{"tensor": "a", "axis": 0, "length": 3.5, "removed": [1]}]},
        {**GOOD, "cuts": None},
        {**GOOD, "edits": [{"site": "a"}]},
        {**GOOD, "edits": [{**GOOD["edits"][0], "removed": [{"unit": 0.5, "score": 1.0, "rank": 0}]}]},
        {**GOOD, "certificate": {"max_difference": 0}},
    ],
)
def test_what_is_no_plan_is_refused_with_a_remedy(data: object) -> None:
    with pytest.raises(PlanError, match="secateur"):
        from_json(json.dumps(data))


LAYERED = Plan(
    "easier",
    layers=(
        LayerEdit("b.relu#2", "identity", (Untie("b", ("relu_1", "relu_2")), Swap("b.relu_2", Part("identity")))),
        LayerEdit(
            "c", "collapse", (Swap("c", Part("sequence", parts=(Part("linear", {"bias": True}),))),), 0.5, 3, 0.1
        ),
    ),
)
LAYERED_TEXT = """{"format": 1, "method": "easier", "edits": [], "cuts": [], "emptied": [], "biased": [],
"certificate": null, "attributes": [], "layers": [{"name": "b.relu#2", "action": "identity", "changes": [{"owner": "b",
"names": ["relu_1", "relu_2"]}, {"module": "b.relu_2", "by": {"kind": "identity", "settings": {}, "parts": []}}],
"score": NaN, "rank": -1, "error": NaN, "reason": ""}, {"name": "c", "action": "collapse", "changes": [{"module": "c",
"by": {"kind": "sequence", "settings": {}, "parts": [{"kind": "linear", "settings": {"bias": true}, "parts": []}]}}],
"score": 0.5, "rank": 3, "error": 0.1, "reason": ""}]}"""


def test_layers_are_written_like_this() -> None:
    assert to_json(LAYERED) == LAYERED_TEXT.replace("\n", " ")
    assert from_json(LAYERED_TEXT) == LAYERED  # scores that nobody gave included


def test_a_plan_without_layers_is_written_as_by_versions_that_knew_none() -> None:
    assert set(GOOD) == {*("format", "method", "edits", "cuts", "emptied", "biased", "certificate", "attributes")}
    steps = json.loads(to_json(Plan("both", layers=LAYERED.layers, steps=(LAYERED, Plan("one")))))["steps"]
    assert ["layers" in step for step in steps] == [True, False]


CHANGE = {"module": "a", "by": {"kind": "identity", "settings": {}, "parts": []}}
LAYER = {"name": "a", "action": "identity", "changes": [CHANGE]}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "layer",
    [
        "relu",
        {"name": "a"},
        {**LAYER, "extra": 1},
        {**LAYER, "changes": [{"module": "a"}]},
        {**LAYER, "changes": [{**CHANGE, "owner": "b"}]},
        {**LAYER, "changes": [{"owner": "a", "names": "b"}]},
        {**LAYER, "changes": [{"module": "a", "by": "identity"}]},
        {**LAYER, "changes": [{"module": "a", "by": {"kind": "identity"}}]},
        {**LAYER, "changes": [{"module": "a", "by": {**CHANGE["by"], "settings": {"inplace": None}}}]},
        {**LAYER, "changes": [{"module": "a", "by": {**CHANGE["by"], "settings": {"stride": ["1"]}}}]},
        {**LAYER, "changes": [{"module": "a", "by": {**CHANGE["by"], "settings": {"stride": {"x": 1}}}}]},
        {**LAYER, "changes": [{"module": "a", "by": {**CHANGE["by"], "parts": [1]}}]},
    ],
)
def test_what_is_no_layer_of_a_plan_is_refused(layer: object) -> None:
    assert from_json(json.dumps({**GOOD, "layers": [LAYER]})).layers
    for data in ({**GOOD, "layers": [layer]}, {**GOOD, "steps": [{**GOOD, "layers": [layer]}]}):
        with pytest.raises(PlanError, match="not a plan of format 1"):
            from_json(json.dumps(data))


def test_steps_without_end_are_refused() -> None:
    text = '{"format": 1, "method": "", "edits": [], "cuts": [], "emptied": [], "biased": [], "certificate": null'
    with pytest.raises(PlanError, match="not a plan of format 1"):
        from_json(text + ', "steps": [' + '{"steps": [' * 50_000 + "]}" * 50_000 + "]}")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(PlanError, match="not a plan of format 1"):
        from_json("{")
