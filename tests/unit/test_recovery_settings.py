"""The settings of a recovery."""

import math
from typing import Any

import pytest

from secateur.errors import SettingsError, UnknownNameError
from secateur.recovery import Recovery


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("epochs", 1.5),
        ("epochs", True),
        ("seed", -1),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", "fast"),
        ("temperature", 0.0),
        ("clip", 0.0),
        ("weight_decay", -0.1),
        ("teacher_weight", 1.1),
        ("teacher_weight", -0.1),
        ("momentum", 1.0),
        ("warmup", 1.0),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
        ("milestones", (0.5, 1.0)),
        ("milestones", (0.0,)),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value_and_a_remedy(name: str, value: Any) -> None:
    shown = value[-1] if isinstance(value, tuple) else value
    with pytest.raises(SettingsError) as caught:
        Recovery(**{name: value})
    assert str(caught.value).startswith(f"{name}: {shown!r} is out of range; give ")


@pytest.mark.parametrize(
    "name", ["learning_rate", "temperature", "teacher_weight", "weight_decay", "momentum", "warmup"]
)
def test_the_ends_of_a_range_are_allowed(name: str) -> None:
    ends = {"teacher_weight": (0.0, 1.0), "weight_decay": (0.0, 10.0), "momentum": (0.0, 0.999), "warmup": (0.0, 0.999)}
    for value in ends.get(name, (1e-300, 1e300)):
        assert getattr(Recovery(**{name: value}), name) == value


@pytest.mark.usefixtures("unchecked")
def test_a_name_nobody_knows_brings_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="'adam' is not a known optimizer; did you mean adamw"):
        Recovery(optimizer="adam")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'linear' is not a known schedule"):
        Recovery(schedule="linear")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="'fp16' is not a known mixed_precision"):
        Recovery(mixed_precision="fp16")  # type: ignore[arg-type]
