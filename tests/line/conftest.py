"""What tests of the command line and of pages have: a folder with a user's file in it, quick parts, a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import commands
from browsing import Visit, chromium, visiting


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with a user's file in it."""
    commands.settle(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def quickened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ONNX, and no long look at the clock."""
    commands.quicken(monkeypatch)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def visited(browser: Any, tmp_path: Path) -> Iterator[Visit]:
    """Opens a page at its `path`; afterwards, nothing may have been reported as wrong nor asked of a network."""
    with visiting(browser, tmp_path / "page.html") as visit:
        yield visit
