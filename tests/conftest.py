"""What every test has: checked types and shapes, one torch thread, a fixed seed."""

import signal
import sys
from collections.abc import Iterator

import jaxtyping

jaxtyping.install_import_hook("secateur", "typecheck.checked")  # before anything imports secateur

import numpy as np
import pytest
import torch
from hypothesis import settings

SEED = 20240229

# Tests run many at a time on busy machines: their speed says nothing about the code.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """One thread, so that sums come in the same order everywhere and parallel test runs do not crowd each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers in every test, in whatever order tests run."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  # libraries under test draw from the global generator


@pytest.fixture(autouse=True)
def accelerating_anew() -> Iterator[None]:
    """Accelerate keeps one state for the whole process, which a Trainer leaves behind; the next test wants its own."""
    yield
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is measured for a moment only."""
    monkeypatch.setattr("secateur.measurement.latency._SECONDS", 0.005)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No type checks, to hand in what types forbid and users do all the same."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells leave it to jobs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
