"""`secateur explain`."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli.options import Choice, Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table

if TYPE_CHECKING:
    from secateur.explanation import Explanation, SiteExplanation

_option = partial(typer.Option, rich_help_panel="Output")
_NAMED = 3  # units of a site that the terminal names at either end


@dataclass(frozen=True)
class PageFile:
    """Where the page goes, and how much it shows."""

    out: Annotated[Path, _option(metavar="FILE", help="Where the page is written.")] = Path("why.html")
    units: Annotated[int, _option(help="Units shown with their outputs, at either end of every site's scores.")] = 8
    examples: Annotated[
        int, _option(help="Examples at each place: the ends of a unit's outputs, the sides of its largest gap.")
    ] = 3
    stability: Annotated[
        bool, _option("--stability", help="Score two halves of the data as well, and show what they agree on.")
    ] = False


def explain(given: Given, choice: Choice, place: PageFile, screen: Screen) -> None:
    r"""Show which units matter, and why, in one HTML page; nothing is cut.

    Of every site, the page has the distribution of its scores, and its most and least important units: their outputs as
    a histogram and as a persistence barcode, and the texts, images or rows at the ends of the outputs and at the two
    sides of the largest gap. All units can be searched and sorted. The page needs no network and no other file.

    Example:
      secateur explain --model hf:MiniLM --method obce \
        --data "glue/sst2:GLUE/sst2?scoring=1000" --out why.html
    """
    from secateur import explaining
    from secateur.cli.opening import opened
    from secateur.cli.recipes import method_of
    from secateur.explaining import Detail
    from secateur.finding import find_sites
    from secateur.places import check_writable
    from secateur.report import explained

    method = method_of(choice)
    explaining.check_scores_units(method)
    detail = Detail(units=place.units, examples=place.examples, stability=place.stability)
    check_writable(place.out)
    with screen.progress("explaining") as bars:
        network, data = opened(given)
        network.warn(bars)
        sites = find_sites(network.model, data.task)
        shown = detail.showing(explaining.of(data))
        found = explaining.explain(network.model, sites, data.task, method, detail=shown, watch=bars)
    settings = ", ".join(f"{name}={value}" for name, value in asdict(method).items())  # type: ignore[call-overload]
    about = {"model": network.builder, "data": given.data or data.name, "settings": settings or "none"}
    explained.write(found, place.out, about=about | {"notes": "; ".join(data.notes) or "none"})
    rows = [_row(site) for site in found.sites]
    told = {"method": method.name, "examples": found.watched, "sites": rows, "out": str(place.out)}
    screen.show(told, _table(found, rows), *_written(found, place.out))


def _row(site: "SiteExplanation") -> dict[str, Any]:
    halves = {"stability": asdict(site.agreement)} if site.agreement else {}
    ends = {"most": [unit.number for unit in site.most], "least": [unit.number for unit in site.least]}
    return {"site": site.name, "units": len(site.scores), **ends, "remark": site.remark, **halves}


def _table(found: "Explanation", rows: list[dict[str, Any]]) -> Any:
    from secateur.report import figures

    has_halves = any("stability" in row for row in rows)
    shown = [
        (
            row["site"],
            f"{row['units']:,}",
            *((row["remark"], "") if row["remark"] else (_few(row["most"]), _few(row["least"]))),
            *([figures.score(row["stability"]["correlation"])] if has_halves else []),
        )
        for row in rows
    ]
    columns = ("Site", "Units", "Most important", "Least important", *(["Halves correlate"] if has_halves else []))
    return table(f"Units by {found.method}, the outermost first", columns, shown, numeric=(1, 4))


def _few(units: list[int]) -> str:
    return ", ".join(map(str, units[:_NAMED])) + (", …" if len(units) > _NAMED else "")


def _written(found: "Explanation", out: Path) -> list[Any]:
    from secateur.report import figures

    said = f"{found.watched:,} examples were watched; an output is one number of each: {found.reading}"
    return [lines(f"written: {out} ({figures.size(out.stat().st_size)})", (said, "open it in a browser"))]
