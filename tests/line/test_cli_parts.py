"""The command line's own parts: TOML, addresses, screens."""

import re
import string
import tomllib
from dataclasses import replace
from io import StringIO

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

import commands
from secateur import Below, Count, Latency, Macs, Params, Recipe, Recovery, Share, Stage, methods, recipe, sources
from secateur.cli.app import COMMANDS
from secateur.cli.comparing import compared, measured
from secateur.cli.screen import Screen
from secateur.cli.tables import table
from secateur.cli.tomlfile import written
from secateur.cli.words import broken
from secateur.result import Event, Measurement

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
    max_leaves=8,
)
SHARES = st.floats(0.001, 0.999)
BUDGETS = st.one_of(
    st.builds(Share, SHARES, st.sampled_from(["site", "model"])),
    st.builds(Count, st.integers(9, 999)),  # no fewer than rounds
    st.builds(Count, st.dictionaries(st.text(string.printable, min_size=1), st.integers(0, 99), min_size=1)),
    st.builds(Below, SHARES, st.booleans()),
    st.builds(Params, st.one_of(SHARES, st.integers(1, 10**9))),
    st.builds(Macs, st.one_of(SHARES, st.integers(1, 10**9))),
    st.builds(Latency, SHARES, st.just("x"), st.integers(1, 64)),
)
RECOVERIES = st.builds(
    Recovery,
    epochs=st.integers(1, 99),
    learning_rate=st.floats(1e-6, 1),
    milestones=st.lists(SHARES, max_size=3).map(tuple),
    patience=st.one_of(st.none(), st.integers(1, 9)),
    clip=st.one_of(st.none(), st.floats(0.1, 9)),
)
STAGES = st.builds(
    Stage,
    method=st.sampled_from([methods.get("dense", measure="std"), methods.get("magnitude", p=1), methods.get("chance")]),
    budget=BUDGETS,
    rounds=st.integers(1, 9),
    recovery=st.one_of(st.none(), RECOVERIES),
    protect=st.lists(TEXTS, max_size=2).map(tuple),
)


@given(st.dictionaries(TEXTS, VALUES))
def test_toml_reads_back_as_what_was_written(data: dict[str, object]) -> None:
    assert tomllib.loads(written(data)) == data


@given(
    st.builds(
        Recipe,
        st.lists(STAGES, min_size=1, max_size=2).map(tuple),
        st.none() | st.floats(-9, 99),
        st.none() | RECOVERIES,
    )
)
def test_a_recipe_reads_back_as_the_same_recipe(wanted: Recipe) -> None:
    assert recipe.from_dict(tomllib.loads(written(recipe.to_dict(wanted)))) == wanted


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("zoo:mlp", "zoo:mlp?features=5&outputs=2"),
        ("zoo:mlp?hidden=8,8", "zoo:mlp?hidden=8,8&features=5&outputs=2"),
        ("zoo:mlp?outputs=7", "zoo:mlp?outputs=7&features=5"),
        ("zoo:resnet20?shortcut=B", "zoo:resnet20?shortcut=B&outputs=2"),
        ("zoo:resnet20?outputs=7", "zoo:resnet20?outputs=7"),
        ("mine.py:build", "mine.py:build"),
    ],
)
def test_an_address_is_filled_in_with_what_the_data_knows_and_it_does_not_say(address: str, wanted: str) -> None:
    filled = sources.filled_in(address, {"features": 5, "outputs": 2})
    assert filled == wanted
    assert sources.filled_in(filled, {"features": 5, "outputs": 2}) == wanted


def test_what_the_data_does_not_know_is_left_out() -> None:
    assert sources.filled_in("zoo:mlp", {"features": 5, "outputs": None}) == "zoo:mlp?features=5"
    assert sources.filled_in("zoo:resnet20", {"features": 5, "outputs": None}) == "zoo:resnet20"


def test_random_weights_come_from_the_seed_alone_and_leave_no_trace() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    shape = {"features": 5, "outputs": 2}
    first, again, other = (sources.build("zoo:mlp?hidden=4", seed, shape).head.weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_bars_are_drawn_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> str:
        with Screen().progress("working") as bars:
            for done in (1, 2, 3, 1, 2, 3):
                bars(Event("recover", done, 3))
            bars.doing("more", 1, 2)
        out, err = capsys.readouterr()
        assert out == ""
        return err

    assert drawn() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
    assert "working" in drawn()


def test_names_in_brackets_are_not_taken_for_markup() -> None:
    outcome = commands.run("report", "[red]none[/red]")
    assert outcome.stderr.startswith("error: [red]none[/red]")


def test_help_names_every_command_and_wrong_ones_are_wrong_usage() -> None:
    found = re.findall(r"^│ ([a-z]+) ", commands.done("--help"), re.MULTILINE)
    assert found == [run.__name__ for run in COMMANDS]
    assert commands.run("compres").exit_code == 2


@given(st.text("ab_=. ", max_size=40), st.integers(1, 20))
def test_words_break_only_where_they_are_too_long_and_then_after_marks(text: str, width: int) -> None:
    lines = broken(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    words = text.split()
    assert all(word in "\n".join(lines) for word in words if len(word) <= width)
    parts = [part for word in words for part in re.findall(r"[ab]*[_=.]|[ab]+", word)]
    assert all(len(line) <= width or line in parts for line in lines)


def test_no_line_of_a_narrow_table_breaks_inside_a_name() -> None:
    console = Console(width=37, file=StringIO(), record=True)
    names = ["block_influence + reconstruct", "magnitude (granularity=layer)"]
    console.print(table("A title that is longer than all", ("Name", "n"), [(name, "9" * 18) for name in names], (1,)))
    title, *lines = [line.strip() for line in console.export_text().splitlines() if line.strip()]
    assert title == "A title that is longer than all"
    column = [line.split(" 9")[0].strip() for line in lines[2:]]
    assert column == ["block_", "influence +", "reconstruct", "magnitude", "(granularity=", "layer)"]


def printed(table: RenderableType) -> str:
    console = Console(width=100, file=StringIO(), record=True)
    console.print(table)
    return " ".join(console.export_text().split())


def test_operators_are_listed_largest_first_where_there_are_several() -> None:
    mixed = Measurement(9, 700, 99, macs_by_operator={"conv2d": 200, "linear": 500}, peak_activation_bytes=2_000)
    shown = printed(measured("", mixed, "test"))
    assert "MACs per row 700 of which linear 500 of which conv2d 200" in shown
    assert "peak activations per row 2.00 kB" in shown
    assert "of which" not in printed(measured("", replace(mixed, macs_by_operator={"linear": 700}), "test"))


def test_memory_that_is_not_known_is_not_compared() -> None:
    known, unknown = Measurement(9, 7, 99, peak_activation_bytes=2_000), Measurement(9, 7, 99)
    assert "activations" in printed(compared("", known, known))
    assert "activations" not in printed(compared("", known, unknown))
    assert "activations" not in printed(measured("", unknown, "test"))
