"""How much is measured in tests of the whole line, and how much torch says."""

from collections.abc import Callable

import pytest
from torch import nn

from secateur.inference import evaluating
from secateur.measurement import latency, measure
from secateur.result import Measurement
from secateur.task import Task


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured but quality and parameters: the rest takes most of the time, and is tested elsewhere."""

    def measured(model: nn.Module, task: Task, **_: object) -> Measurement:
        with evaluating(model) as predict:
            quality = task.evaluate("validation", predict) if task.validation else {}
        return Measurement(sum(parameter.numel() for parameter in model.parameters()), 0, 0, quality=quality)

    _measure_with(measured, monkeypatch)
    monkeypatch.setattr(latency, "_SECONDS", 0.0)
    monkeypatch.setattr(latency, "milliseconds", lambda _: 1.0)


@pytest.fixture
def thorough(unmeasured: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # which it takes back
    """Everything is measured after all, latency for a moment only."""
    _measure_with(measure, monkeypatch)
    monkeypatch.setattr(latency, "_SECONDS", 0.001)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """torch logs and prints what it cannot follow."""
    caplog.set_level("CRITICAL")
    capsys.readouterr()


def _measure_with(function: Callable[..., Measurement], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("loops", "rounds", "outcome", "control"):
        monkeypatch.setattr(f"secateur.pipeline.{module}.measure", function)
