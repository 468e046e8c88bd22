"""HTML by construction: text is escaped unless it is `Html` already."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from html import escape

VOID = frozenset({"br", "col", "input", "meta"})


@dataclass(frozen=True)
class Html:
    """A finished piece of HTML."""

    text: str


Content = Html | str
Attribute = str | float | bool | None


@dataclass(frozen=True)
class Row:
    """One row of a table, its first cell the header; `mark` is a CSS class."""

    cells: tuple[Content, ...]
    mark: str | None = None


def tag(name: str, *content: Content, **attributes: Attribute) -> Html:
    """An element; text in it is escaped, attributes that are None or False are left out.

    `class_` becomes `class`, other underscores become hyphens.
    """
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{opening}>" if name in VOID else f"<{opening}>{joined(content).text}</{name}>")


def joined(content: Iterable[Content]) -> Html:
    """Pieces one after the other."""
    return Html("".join(item.text if isinstance(item, Html) else escape(item) for item in content))


def table(caption: str, columns: tuple[Content, ...], rows: Iterable[Row], numeric: Collection[int] = ()) -> Html:
    """A table that scrolls sideways where the screen is narrow; `numeric` columns are set to the right."""
    heads = (tag("th", text, scope="col", class_=_side(i, numeric)) for i, text in enumerate(columns))
    body = (_row(row, numeric) for row in rows)
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def section(identity: str, title: str, *content: Content, intro: Content = "") -> Html:
    """One part of the page under its heading."""
    heading = tag("h2", title, id=f"{identity}-title")
    lead = tag("p", intro, class_="intro") if intro else Html("")
    return tag("section", heading, lead, *content, id=identity, aria_labelledby=f"{identity}-title")


def badge(kind: str, text: str) -> Html:
    """A short word in a coloured box; `kind` is good, bad or plain."""
    return tag("span", text, class_=f"badge {kind}")


def _row(row: Row, numeric: Collection[int]) -> Html:
    head, *rest = row.cells
    cells = (tag("td", cell, class_=_side(i, numeric)) for i, cell in enumerate(rest, 1))
    return tag("tr", tag("th", head, scope="row"), *cells, class_=row.mark)


def _side(index: int, numeric: Collection[int]) -> str | None:
    return "number" if index in numeric else None


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    match value:
        case None | False:
            return ""
        case True:
            return f" {name}"
        case str():
            return f' {name}="{escape(value)}"'
    return f' {name}="{round(value, 2):g}"'
