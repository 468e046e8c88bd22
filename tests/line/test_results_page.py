"""The page of results says what the committed results say."""

from benchmarks.page import PAGE, page


def test_the_page_is_what_the_newest_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/results.md is out of date: make results"
