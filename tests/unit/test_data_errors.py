"""What is wrong with a table is said in one line: the place, the numbers, the remedy."""

import sys
from pathlib import Path

import pytest

from secateur import data
from secateur.errors import CompressionError, DataError, SettingsError, UnknownNameError

HEADER = "one,two,three\n"
ROWS = "".join(f"{row},{row * 2},{'ab'[row % 2]}\n" for row in range(20))
GOOD = HEADER + ROWS
MANY = "x,t,y\n" + "".join(f"{row},t{row},{row % 2}\n" for row in range(2500))


def refusal(address: str, **settings: float) -> CompressionError:
    with pytest.raises(CompressionError) as caught:
        data.load(address, **settings)
    return caught.value


def assert_says(error: CompressionError, kind: type[CompressionError], words: tuple[str, ...]) -> None:
    assert type(error) is kind
    assert "\n" not in str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


@pytest.mark.parametrize(
    ("text", "query", "words"),
    [
        (GOOD, "target=thre", ("3 columns", "'thre'", "did you mean three?")),
        (GOOD, "target=zzz", ("the columns are one, two, three.",)),
        (ROWS, "target=3", ("'3'", "the columns are 0, 1, 2.")),
        (GOOD.replace("7,14", "7,x14"), "target=three", ("'two'", "1 of 20", "'x14' in row 8", "missing=TEXT")),
        (GOOD, "target=-1", ("'0'", "'one' in row 1", "header=1")),
        (GOOD.replace("7,14", "7,x14"), "target=two", ("'two'", "1 of 20", "'x14' in row 8", "task=classification")),
        (GOOD, "target=three&task=regression", ("'three'", "20 of 20", "'a' in row 1")),
        (GOOD.replace("b", "a"), "target=three", ("all 20 rows", "'a'", "two different values")),
        ("x,y\n" + "1,2\n3,2.0\n" * 9, "target=y&task=regression", ("all 18 rows", "'y'")),
        (GOOD + "1,2,c\n", "target=three", ("class 'c'", "one row only", "leave it out.")),
        ("x,y\n" + "1,2\n" * 15 + "3,4\n", "target=y", ("class '4'", "one row only", "task=regression")),
        ("", "target=y", ("empty",)),
        ("\n\n", "target=y", ("empty",)),
        (HEADER, "target=three", ("0 rows", "at least 10")),
        (HEADER + ROWS[:48], "target=three", ("rows", "at least 10")),
        ("y\n" + "1\n2\n" * 9, "target=y", ("'y' is the only column", "sep=")),
        (GOOD + "1,2,\n", "target=three", ("'three'", "1 of 21", "missing", "row 21")),
        (GOOD + "inf,2,a\n", "target=three", ("'one'", "inf", "row 21")),
        (GOOD + "1e39,2,a\n", "target=three", ("'one'", "1e+39", "row 21")),
        (GOOD + "1,-Infinity,a\n", "target=two", ("'two'", "-Infinity", "row 21")),
        (GOOD + "1,2,3,4\n", "target=three", ("3 fields in line 22, saw 4",)),
        (HEADER + "1,2,a,4\n" + ROWS, "target=three", ("more fields",)),
        (GOOD + '1,"2,a\n', "target=three", ("EOF inside string",)),
        (MANY, "target=y", ("'t'", "more than 1000", "leave the column out")),
        (MANY, "target=t", ("'t'", "more than 1000 classes")),
    ],
)
@pytest.mark.parametrize("stream", [0, 1])
def test_a_bad_table_is_refused(tmp_path: Path, text: str, query: str, words: tuple[str, ...], stream: int) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert_says(refusal(f"csv:{path}?{query}&stream={stream}"), DataError, ("bad.csv", *words))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "1,2,z\n3,4,a\n", ("'z'", "not in training", "a, b")),
        ("one,to,three\n1,2,a\n", ("3 columns", "'to'", "train.csv")),
        (HEADER, ("no rows",)),
        (HEADER + "1,x,a\n", ("'two'", "1 of 1", "'x' in row 1")),
        (HEADER + "1,2,a\n1,2,?\n", ("'three'", "1 of 2", "row 2")),
        ("a,b\n1,2\n", ("'three'",)),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text(GOOD)
    test.write_text(text)
    assert_says(refusal(f"csv:{train}?target=three&test={test}"), DataError, ("test.csv", *words))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes((GOOD + "1,2,é\n").encode("latin-1"))
    assert_says(refusal(f"csv:{path}?target=three"), DataError, ("latin.csv", "0xe9", "UTF-8"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert_says(refusal(f"csv:{tmp_path}/no.csv?target=y"), DataError, ("no.csv", "no such file"))
    assert_says(refusal(f"csv:{tmp_path}?target=y"), DataError, ("cannot be read",))


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("iris", UnknownNameError, ("'iris'", "sklearn:NAME", "csv:FILE?target=COLUMN")),
        ("sklaern:iris", UnknownNameError, ("did you mean sklearn:NAME?",)),
        ("sklearn:irs", UnknownNameError, ("did you mean iris?",)),
        ("sklearn:", SettingsError, ("incomplete", "sklearn:NAME")),
        ("csv:", SettingsError, ("incomplete", "csv:FILE?target=COLUMN")),
        ("csv:x.csv", SettingsError, ("target", "csv:x.csv?target=COLUMN")),
        ("csv:?target=y", SettingsError, ("file",)),
        ("csv:x.csv?targt=y", UnknownNameError, ("did you mean target",)),
        ("csv:x.csv?target=y&target=z", SettingsError, ("twice", "%26")),
        ("csv:x.csv?target=y&header=yes", SettingsError, ("header='yes'", "0 or 1")),
        ("csv:x.csv?target=y&sep=ab", SettingsError, ("sep='ab'",)),
        ("csv:x.csv?target=y&task=regresion", UnknownNameError, ("did you mean regression?",)),
        ("mine.py", SettingsError, ("FILE.py:FUNCTION",)),
        ("", UnknownNameError, ("FILE.py:FUNCTION",)),
    ],
)
def test_a_bad_address_is_refused(address: str, kind: type[CompressionError], words: tuple[str, ...]) -> None:
    assert_says(refusal(address), kind, words)


@pytest.mark.parametrize(
    "settings",
    [
        {"validation": -0.1},
        {"test": 1.0},
        {"validation": 0.5, "test": 0.5},
        {"test": float("nan")},
        {"batch_size": 0},
    ],
)
def test_a_setting_outside_its_range_is_refused(settings: dict[str, float]) -> None:
    assert_says(refusal("sklearn:iris", **settings), SettingsError, (next(iter(settings)), "at least"))


def test_without_scikit_learn_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert_says(refusal("sklearn:iris"), DataError, ("sklearn:iris", "pip install scikit-learn"))
