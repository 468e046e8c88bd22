"""Pages in a real browser: nothing may go wrong in them, and no network be asked for anything."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH to open the page with")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: the page is not opened"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """Opens a page that is a file, and notes what is reported as wrong and what is asked of a network."""

    def __init__(self, browser: Any, path: Path):
        self._browser = browser
        self.path = path
        self.wrong: list[str] = []
        self.asked: list[str] = []

    def __call__(self, **options: Any) -> Any:
        page = self._browser.new_page(**options)
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(self.path.as_uri())
        return page


@contextmanager
def visiting(browser: Any, path: Path) -> Iterator[Visit]:
    """A visitor; at the end, nothing may have gone wrong, nor anything but the page have been asked for."""
    visit = Visit(browser, path)
    yield visit
    assert not visit.wrong
    assert {url for url in visit.asked if not url.startswith("blob:")} <= {path.as_uri()}
