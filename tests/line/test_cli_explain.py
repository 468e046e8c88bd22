"""`secateur explain`: one page from a model and its data, and clear refusals."""

from pathlib import Path

import pytest

import commands
import image_files
import text_files
from commands import DATA, MODEL

pytestmark = pytest.mark.usefixtures("folder")


def test_a_page_is_written_and_units_are_named() -> None:
    found = commands.data(
        "explain", *MODEL, *DATA, "--method", "obce", "--units", 2, "--examples", 1, "--out", "why.html"
    )
    assert (found["method"], found["examples"], found["out"]) == ("obce", 60, "why.html")
    assert [(site["site"], site["units"], len(site["most"]), len(site["least"])) for site in found["sites"]] == [
        ("0", 12, 2, 2),
        ("2", 12, 2, 2),
    ]
    scores = commands.data("score", *MODEL, *DATA, "--method", "obce")
    assert [row["highest"] for row in scores["sites"]] != []
    page = Path("why.html").read_text(encoding="utf-8")
    assert "mine.py:build" in page and "http" not in page.split("<main")[1].split("</main>")[0]


def test_halves_of_the_data_are_told() -> None:
    found = commands.data("explain", "--model", "zoo:mlp?hidden=8,8", "--data", "sklearn:wine", "--stability")
    assert {frozenset(site["stability"]) for site in found["sites"]} == {
        frozenset({"correlation", "overlap", "chance"})
    }
    assert "Halves correlate" in Path("why.html").read_text(encoding="utf-8")


def test_texts_and_pictures_are_explained(folder: Path) -> None:
    text_files.write_bert(folder / "bert")
    text_files.write(folder / "corpus.txt", [f"the {word} film" for word in text_files.WORDS])
    told = commands.done("explain", "--model", "hf:bert", "--data", "text:corpus.txt", "--method", "obce")
    assert "the output at the first token" in " ".join(told.split())
    image_files.write_binary(folder / "ten", image_files.drawn(40, 20))
    told = commands.done("explain", "--model", "zoo:lenet", "--data", "cifar10:ten?scoring=20", "--method", "magnitude")
    assert "the mean over the map" in " ".join(told.split())


def test_a_method_of_layers_is_refused() -> None:
    assert "easier scores layers" in commands.refusal("explain", *MODEL, *DATA, "--method", "easier")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--out", "no/why.html"), "no/why.html: cannot be written: its folder does not exist"),
        (("--out", "."), "this is a folder"),
        (("--units", 0), "units is 0"),
        (("--examples", 0), "examples is 0"),
        (("--method", "obcee"), "did you mean obce"),
        (("--set", "place=middle", "--method", "obce"), "'middle' is not a known value"),
        (("--data", "mine.py:one_row"), "has 1 row"),
        (("--data", "mine.py:spoilt"), "NaN"),
        (("--model", "mine.py:rigid"), "nothing can be removed"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_one_line(options: tuple[object, ...], part: str) -> None:
    given = {"--model": MODEL[1], "--data": DATA[1]}
    given |= dict(zip(options[::2], options[1::2], strict=True)) if len(options) == 2 else {}
    extra = options if len(options) > 2 else ()
    line = commands.refusal("explain", *(word for pair in given.items() for word in pair), *extra)
    assert part in line


def test_data_without_an_example_is_refused(folder: Path) -> None:
    (folder / "corpus.txt").write_text("")
    text_files.write_bert(folder / "bert")
    assert "corpus.txt" in commands.refusal("explain", "--model", "hf:bert", "--data", "text:corpus.txt")
