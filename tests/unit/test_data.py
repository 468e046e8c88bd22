"""Tables from files and from scikit-learn as data to train on."""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor, nn

from secateur import data
from secateur.data import Data, TensorBatches
from secateur.data.bundled import KINDS
from secateur.data.splits import PARTS
from secateur.inference import evaluating

NUMBERS = ["width", "height", "weight"]


def table(rows: int = 200) -> pd.DataFrame:
    """Numbers with gaps, a constant, a text with gaps and a rare category; the target is the row's number."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "width": generator.normal(1e6, 3.0, rows),
            "colour": generator.choice(["red", "green", "blue"], rows),
            "height": generator.exponential(5.0, rows).round(2),
            "weight": np.full(rows, 0.1),
            "row": np.arange(rows, dtype=np.float64),
        }
    )
    frame.loc[3::17, "height"] = np.nan
    frame.loc[5::23, "colour"] = np.nan
    frame.loc[11, "colour"] = "violet"
    return frame


def written(folder: Path, frame: pd.DataFrame, name: str = "table.csv", **form: object) -> Path:
    path = folder / name
    frame.to_csv(path, index=False, **form)
    return path


def all_of(batches: Iterable[tuple[Tensor, Tensor]] | None) -> tuple[np.ndarray, np.ndarray]:
    assert batches is not None
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs).numpy(), torch.cat(targets).numpy()


def rows_of(loaded: Data, split: str) -> np.ndarray:
    """The numbers of the rows in a split, for `table` knows them by their target."""
    _, targets = all_of(getattr(loaded.task, split))
    return loaded.in_target_units(torch.from_numpy(targets).double()).round().numpy().astype(int)


def assert_encoded_as_scikit_learn_does(loaded: Data, frame: pd.DataFrame) -> None:
    """The oracle: the same encoding out of scikit-learn's parts, learned from the same training rows."""
    training = frame.iloc[rows_of(loaded, "calibration")]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    oracle = ColumnTransformer([(c, one_hot if c == "colour" else number, [c]) for c in frame.columns[:-1]])
    frame = frame.assign(colour=frame.colour.fillna("missing"))
    oracle.fit(frame.iloc[training.index])
    for split in PARTS:
        inputs, _ = all_of(getattr(loaded.task, "calibration" if split == "train" else split))
        rows = rows_of(loaded, "calibration" if split == "train" else split)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # scikit-learn tells of unknown categories
            assert_allclose(inputs, oracle.transform(frame.iloc[rows]), atol=1e-5)


@pytest.mark.parametrize("stream", [0, 1])
def test_a_table_is_encoded_as_scikit_learn_does_from_the_training_rows_alone(tmp_path: Path, stream: int) -> None:
    frame = table()
    loaded = data.load(f"csv:{written(tmp_path, frame)}?target=row&stream={stream}", seed=3)
    assert loaded.kind == "regression"
    assert_encoded_as_scikit_learn_does(loaded, frame)


@pytest.mark.parametrize("stream", [0, 1])
def test_every_row_is_in_exactly_one_split(tmp_path: Path, stream: int) -> None:
    loaded = data.load(f"csv:{written(tmp_path, table())}?target=row&stream={stream}")
    rows = [rows_of(loaded, split) for split in ("calibration", "validation", "test")]
    assert [len(part) for part in rows] == [loaded.rows[split] for split in PARTS]
    assert_array_equal(np.sort(np.concatenate(rows)), np.arange(200))


@pytest.mark.parametrize("stream", [0, 1])
def test_the_same_seed_gives_the_same_splits_and_another_seed_others(tmp_path: Path, stream: int) -> None:
    address = f"csv:{written(tmp_path, table())}?target=row&stream={stream}"
    first, again, other = (rows_of(data.load(address, seed=seed), "test") for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert set(first) != set(other)


def test_a_category_that_training_lacks_is_all_zero(tmp_path: Path) -> None:
    frame = table()
    address = f"csv:{written(tmp_path, frame)}?target=row"
    loaded = next(d for seed in range(20) if 11 in rows_of(d := data.load(address, seed=seed), "test"))
    inputs, _ = all_of(loaded.task.test)
    colours = [place for place, name in enumerate(loaded.feature_names) if name.startswith("colour=")]
    assert "colour=violet" not in loaded.feature_names
    assert not inputs[list(rows_of(loaded, "test")).index(11)][colours].any()


def test_features_are_named_by_column_and_category_and_a_constant_one_is_zero(tmp_path: Path) -> None:
    loaded = data.load(f"csv:{written(tmp_path, table(), na_rep='?')}?target=row", validation=0.0, test=0.0)
    colours = tuple(f"colour={name}" for name in ("blue", "green", "missing", "red", "violet"))
    assert loaded.feature_names == ("width", *colours, "height", "weight")
    assert (loaded.features, loaded.outputs) == (8, 1)
    assert not all_of(loaded.task.calibration)[0][:, -1].any()
    assert any("weight" in note for note in loaded.notes)


def test_a_share_of_zero_leaves_the_split_out(tmp_path: Path) -> None:
    loaded = data.load(f"csv:{written(tmp_path, table())}?target=row", validation=0.0, test=0.0)
    assert loaded.task.validation is None
    assert loaded.task.test is None
    assert dict(loaded.rows) == {"train": 200, "validation": 0, "test": 0}


def test_calibration_is_the_training_rows_in_order_in_the_same_memory(tmp_path: Path) -> None:
    loaded = data.load(f"csv:{written(tmp_path, table())}?target=row")
    train, calibration = loaded.task.train, loaded.task.calibration
    assert isinstance(train, TensorBatches)
    assert isinstance(calibration, TensorBatches)
    assert all(a is b for a, b in zip(train.tensors, calibration.tensors, strict=True))
    assert (np.diff(rows_of(loaded, "calibration")) > 0).all()
    assert (np.diff(rows_of(loaded, "train")) < 0).any()


def test_a_regressions_quality_does_not_depend_on_the_units_of_its_target(tmp_path: Path) -> None:
    frame = table().replace("violet", "red")
    model = nn.Linear(7, 1)
    qualities = []
    for scale in (1.0, 1e4):
        path = written(tmp_path, frame.assign(row=frame.row * scale - 55))
        loaded = data.load(f"csv:{path}?target=row")
        with evaluating(model) as predict:
            qualities.append(loaded.task.evaluate("test", predict)["r2"])
    assert qualities[0] == pytest.approx(qualities[1], rel=1e-5)


@pytest.mark.parametrize(
    ("values", "kind", "names"),
    [
        (["no", "yes"], "classification", ("no", "yes")),
        (["True", "False"], "classification", ("False", "True")),
        ([10, 9, 0], "classification", ("0", "9", "10")),
        (["1", "1.0", "01", "2"], "classification", ("1", "2")),
        (list(range(20)), "classification", tuple(str(n) for n in range(20))),
        (list(range(21)), "regression", ()),
        ([0.5, 1.0], "regression", ()),
        (["<=50K", "1"], "classification", ("1", "<=50K")),
    ],
)
def test_text_and_few_whole_numbers_are_classes_and_other_numbers_a_regression(
    tmp_path: Path, values: list[object], kind: str, names: tuple[str, ...]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(f"{row},{values[row % len(values)]}\n" for row in range(100)))
    loaded = data.load(f"csv:{path}?target=y")
    assert (loaded.kind, loaded.class_names) == (kind, names)
    assert loaded.outputs == (len(names) or 1)
    assert all_of(loaded.task.train)[1].dtype == (np.int64 if names else np.float32)


def test_the_task_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "wine.csv"
    path.write_text("x,y\n" + "".join(f"{row},{3 + row % 6}\n" for row in range(60)))
    assert data.load(f"csv:{path}?target=y").kind == "classification"
    assert data.load(f"csv:{path}?target=y&task=regression").kind == "regression"


@pytest.mark.parametrize("stream", [0, 1])
def test_labels_belong_to_their_rows(tmp_path: Path, stream: int) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(f"{row % 3 * 10},{'abc'[row % 3]}\n" for row in range(60)))
    loaded = data.load(f"csv:{path}?target=y&stream={stream}")
    inputs, labels = all_of(loaded.task.train)
    assert_array_equal(np.digitize(inputs[:, 0], [-0.5, 0.5]), labels)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("1, 2, a\n\n3,4 ,b\n", "target=2"),
        ("1, 2, a\n3, 4, b\n\n", "target=-1"),
        ("p,q,y\n1,2,a\n3,4,b\n", "target=y"),
        ("p, q, y\n1, 2, a\n3, 4, b\n", "target=-1&header=1"),
        ("p;q;y\n1;2;a\n3;4;b\n", "target=y&sep=;"),
        ("p\tq\ty\n1\t2\ta\n3\t4\tb\n", "target=y&sep=tab"),
        (" p  q y\n 1  2 a\n 3  4 b\n", "target=y&sep=space"),
        ('"p","q","y"\r\n"1","2","a"\r\n"3","4","b"\r\n', "target=y"),
        ("\ufeffp,q,a&b\n1,2,a\n3,4,b\n", "target=a%26b"),
    ],
)
def test_every_way_to_write_a_table_gives_the_same_data(tmp_path: Path, text: str, query: str) -> None:
    head, _, body = ("", "", text) if query in ("target=2", "target=-1") else text.partition("\n")
    path = tmp_path / "table.csv"
    path.write_bytes((head + "\n" * bool(head) + body * 10).encode())
    loaded = data.load(f"csv:{path}?{query}")
    inputs, labels = all_of(loaded.task.calibration)
    assert loaded.class_names == ("a", "b")
    assert sum(loaded.rows.values()) == 20
    assert_allclose(inputs, np.where(labels == 0, -1.0, 1.0)[:, None].repeat(2, axis=1))


def test_texts_for_missing_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(f"{'-' if row == 4 else row},{row * 0.5}\n" for row in range(30)))
    loaded = data.load(f"csv:{path}?target=y&missing=-,n.a.", validation=0.0, test=0.0)
    inputs, _ = all_of(loaded.task.calibration)
    x = np.array([15.0 if row == 4 else row for row in range(30)])  # the median of the others
    assert_allclose(inputs[:, 0], (x - x.mean()) / x.std(), atol=1e-6)


@pytest.mark.parametrize("stream", [0, 1])
def test_a_test_file_is_the_test_split_and_its_full_stops_go(tmp_path: Path, stream: int) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("".join(f"{row}, {'<=50K' if row % 3 else '>50K'}\n" for row in range(50)))
    test.write_text("".join(f"{row}, {'<=50K.' if row % 3 else '>50K.'}\n" for row in (5, 6, 7)))
    loaded = data.load(f"csv:{train}?target=-1&test={test}&stream={stream}")
    assert loaded.class_names == ("<=50K", ">50K")
    assert_array_equal(all_of(loaded.task.test)[1], [0, 1, 0])
    assert loaded.rows["train"] + loaded.rows["validation"] == 50
    assert any("full stop" in note for note in loaded.notes)


def test_labels_that_end_in_a_full_stop_in_both_files_keep_it(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("".join(f"{row},{'ab'[row % 2]}.\n" for row in range(20)))
    test.write_text("1,b.\n")
    loaded = data.load(f"csv:{train}?target=-1&test={test}")
    assert loaded.class_names == ("a.", "b.")
    assert_array_equal(all_of(loaded.task.test)[1], [1])


def test_gaps_in_the_test_file_alone_are_filled_with_the_training_median(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("x,y\n" + "".join(f"{row**2},{row * 0.5}\n" for row in range(25)))
    test.write_text("x,y\n,1.0\n144,1.0\n")
    inputs, _ = all_of(data.load(f"csv:{train}?target=y&test={test}", validation=0.0).task.test)
    assert inputs[0, 0] == inputs[1, 0]  # 12² is in the middle of the squares of 0 to 24


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_table_of_scikit_learn_loads(name: str) -> None:
    loaded = data.load(f"sklearn:{name}")
    inputs, targets = all_of(loaded.task.train)
    assert loaded.name == name
    assert inputs.shape == (loaded.rows["train"], loaded.features)
    assert_allclose(inputs.mean(axis=0), 0.0, atol=1e-5)
    assert loaded.outputs == (len(np.unique(targets)) if loaded.class_names else 1)


def test_the_classes_of_scikit_learn_keep_their_order() -> None:
    assert data.load("sklearn:breast_cancer").class_names == ("malignant", "benign")
    assert data.load("sklearn:digits").class_names == tuple("0123456789")
