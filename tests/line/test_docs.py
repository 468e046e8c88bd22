"""What the documentation shows works."""

import re
import sys
from pathlib import Path

import pytest

from fenced import RUN, blocks, follow, read

ROOT = Path(__file__).parents[2]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]
LINK = re.compile(r"\]\(([^)#:]+\.md)\)")
COMMAND = re.compile(r"^secateur ", re.MULTILINE)
INDENTED = re.compile(r"^(?:    |\t)+secateur .*$", re.MULTILINE)

# What blocks may say that they need and is not there; everything else on the pages is run.
WITHOUT = {
    "an interrupted run",
    "minutes of training",
    "CIFAR-10 and published weights",
    "a folder of images and published weights",
    "a model and texts of Hugging Face",
    "a network cut by another tool",
    "ExecuTorch",
    "OpenVINO",
}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=named)


@every_page
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names, before = {"__name__": "__docs__"}, set(sys.modules)
    for block in blocks(page):
        if block.without is None:
            follow(block, names, page)
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]  # the next page may have a file of that name


@every_page
def test_blocks_that_are_not_run_say_what_they_need_and_have_no_unknown_options(page: Path) -> None:
    for block in blocks(page):
        assert block.without in {None, *WITHOUT}
        if block.without:
            read(block, page)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_command_hides_in_a_block_that_is_not_run(page: Path) -> None:
    assert INDENTED.findall(page.read_text(encoding="utf-8")) == []
    for block in blocks(page):
        assert block.language in RUN or not COMMAND.search(block.text), f"{named(page)}:{block.line} is never run"


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=named)
def test_pages_outside_the_documentation_link_to_files_that_exist(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
