"""What every page is made of: one file with its style, its script and its data, which asks no network for anything."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from secateur.report.markup import Content, Html, joined, tag

STYLE, SCRIPTS = "page.css", ("paged.js", "tip.js")


def shell(
    title: str, contents: Sequence[tuple[str, str]], main: Sequence[Content], data: Html, *, style: str, script: str
) -> str:
    """A page as HTML text; `contents` has the identity and the name of each section, `style` and `script` are its own.

    Browsers run no other script than this one, as its hash says.
    """
    code = "\n".join([*map(asset, SCRIPTS), script])
    return Template(asset("page.html")).substitute(
        title=tag("title", title).text,
        style=asset(STYLE) + style,
        contents=joined(tag("a", name, href=f"#{identity}") for identity, name in contents).text,
        main=joined(main).text,
        data=data.text,
        script=code,
        script_hash=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
    )


def asset(name: str, package: str = "secateur.report") -> str:
    """The text of a file that lies beside the code."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def embedded(identity: str, data: Any) -> Html:
    """Data as JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Html(f'<script type="application/json" id="{identity}">{safe}</script>')
