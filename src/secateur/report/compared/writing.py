"""The page of a comparison as a file, written whole or not at all."""

from pathlib import Path

from secateur.comparison import Comparison
from secateur.files import replacing
from secateur.report.compared.page import page


def write(comparison: Comparison, html_path: Path) -> None:
    """Writes the page of a comparison; it needs no network and no other file.

    Raises:
        FileError: the page cannot be written; the one that was there is left untouched.
    """
    content = page(comparison).encode("utf-8", "replace")
    with replacing(html_path) as draft:
        draft.write_bytes(content)
