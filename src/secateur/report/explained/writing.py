"""The page of an explanation as a file, written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from secateur.explanation import Explanation
from secateur.files import replacing
from secateur.report.explained.page import page


def write(explanation: Explanation, html_path: Path, *, about: Mapping[str, str] | None = None) -> None:
    """Writes the page of an explanation; it needs no network and no other file.

    `about` is what else there is to know, such as the names of the model and the data.

    Raises:
        FileError: the page cannot be written; the one that was there is left untouched.
    """
    content = page(explanation, about or {}).encode("utf-8", "replace")
    with replacing(html_path) as draft:
        draft.write_bytes(content)
