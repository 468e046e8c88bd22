"""The report as a file: reads the JSON of a result, writes one page, whole or not at all."""

from pathlib import Path

from secateur.files import replacing
from secateur.report.page import page
from secateur.report.reading import read


def write(result_json: str | Path, html_path: Path) -> None:
    """Writes the report of a run; the page needs no network and no other file.

    `result_json` is the text that `result.to_json` returned, or the path of a file that holds it. A page that cannot be
    written leaves the one that was there untouched.

    Raises:
        FileError: the JSON is damaged or not a result, or the page cannot be written.
    """
    # A name may hold half a surrogate pair, which JSON allows and UTF-8 does not: it becomes a question mark.
    content = page(read(result_json)).encode("utf-8", "replace")
    with replacing(html_path) as draft:
        draft.write_bytes(content)
