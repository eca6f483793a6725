"""The fitted transform: raw columns to tensors, outputs to predictions."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from distrain.data.columns import TextRules
from distrain.data.encoders import CategoricalFeature, NumericFeature
from distrain.data.features import Transform, class_probabilities
from distrain.errors import DataError

AGE = NumericFeature("age", "double", fill=30.0, center=40.0, spread=10.0, indicator=True)
CITY = CategoricalFeature("city", "string", ("Oslo", "Bern"), missing=True)
TABLE = pa.table({"age": [50.0, None, np.inf], "city": [" Bern", "Rome", "?"]})
CLASSES = Transform(
    "classification",
    ["income"],
    classes=["<=50K", ">50K"],
    positive=1,
    labels={">50K.": ">50K"},
    features=(AGE, CITY),
    id_columns=["key"],
    column_types={"age": "double", "city": "string", "income": "string", "key": "string"},
    text=TextRules(missing=("", "?")),
)


def apply_one(feature: NumericFeature | CategoricalFeature, values: pa.Array) -> list[list[float]]:
    transform = Transform("classification", ["t"], features=(feature,))
    rows: list[list[float]] = transform.apply(pa.table({feature.name: values}))["x"].tolist()
    return rows


def test_rows_become_features() -> None:
    x = CLASSES.apply(TABLE)["x"]
    assert x.dtype == np.float32
    assert x.tolist() == [
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        [-1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        [-1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    ]
    assert CLASSES.feature_names == [
        "age", "age is missing",
        "city = Oslo", "city = Bern", "city is other", "city is missing",
    ]  # fmt: skip
    assert CLASSES.input_shape == (6,)
    assert CLASSES.num_outputs == 2
    assert CLASSES.input_columns == ["age", "city"]


def test_bits_of_a_row_do_not_depend_on_the_others() -> None:
    numbers = np.random.default_rng(0).standard_normal(10_000) * 1e3
    table = pa.table({"age": numbers, "city": ["Oslo"] * len(numbers)})
    whole = CLASSES.apply(table)["x"]
    parts = [CLASSES.apply(table.slice(start, 777))["x"] for start in range(0, 10_000, 777)]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_json_gives_the_same_transform_back() -> None:
    assert Transform.from_json(json.loads(json.dumps(CLASSES.to_json()))) == CLASSES


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 0, None]),
        pa.array([1.0, 0.0, None], pa.float32()),
        pa.array(["1", " 0 ", ""]),
        pa.array(["1.0", "0", "NA"]).dictionary_encode(),
        pa.array([True, False, None]),
        pa.array([1, 0, None], pa.decimal128(5, 2)),
    ],
)
def test_numbers_count_by_value_however_they_are_held(values: pa.Array) -> None:
    feature = NumericFeature("n", "double", fill=7.0, center=0.0, spread=1.0)
    assert apply_one(feature, values) == [[1.0], [0.0], [7.0]]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("int64", pa.array([5, 7, None])),
        ("int64", pa.array([5.0, 7.0, np.nan])),
        ("int64", pa.array(["5", " 7.0", ""])),
        ("int64", pa.array(["05", "7", None])),
        ("string", pa.array(["5", "7 ", "nan"])),
        ("string", pa.array([5.0, 7.0, None])),
        ("double", pa.array([5, 7, None])),
    ],
)
def test_categories_count_by_value_however_they_are_held(type_: str, values: pa.Array) -> None:
    feature = CategoricalFeature("c", type_, ("5", "7"), missing=True)
    assert apply_one(feature, values) == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_missing_category_that_training_never_saw_counts_as_another_value() -> None:
    assert apply_one(CategoricalFeature("c", "string", ("a",)), pa.array(["a", None, "b"])) == [
        [1, 0], [0, 1], [0, 1],
    ]  # fmt: skip


def test_truth_is_read_from_words() -> None:
    feature = NumericFeature("b", "bool", fill=0.5, center=0.0, spread=1.0)
    words = pa.array(["Yes", "no", "TRUE", "f", None])
    assert apply_one(feature, words) == [[1], [0], [1], [0], [0.5]]


def test_dates_and_times_count_in_seconds() -> None:
    date = NumericFeature("d", "date32[day]", 0.0, 0.0, 1.0)
    moment = NumericFeature("m", "timestamp[us]", 0.0, 0.0, 1.0)
    assert apply_one(date, pa.array([dt.date(1970, 1, 3)])) == [[2 * 86_400]]
    assert apply_one(date, pa.array(["1970-01-03"])) == [[2 * 86_400]]
    assert apply_one(moment, pa.array(["1970-01-01 00:00:01.5"])) == [[1.5]]
    assert apply_one(moment, pa.array([dt.datetime(1970, 1, 1, 1)])) == [[3_600]]


def test_logarithm_keeps_the_sign() -> None:
    feature = NumericFeature("n", "double", fill=0.0, center=0.0, spread=1.0, log=True)
    expected = np.log1p([9.0, 9.0]) * [1, -1]
    assert np.allclose(apply_one(feature, pa.array([9.0, -9.0])), expected[:, None])


def test_huge_numbers_stay_finite() -> None:
    feature = NumericFeature("n", "double", fill=0.0, center=0.0, spread=1e-3)
    assert np.isfinite(apply_one(feature, pa.array([1e300, -1e300]))).all()


def test_text_that_is_no_number_is_told_with_its_column() -> None:
    with pytest.raises(DataError, match=r"column 'age': 'old' is not a number"):
        CLASSES.apply(pa.table({"age": ["31", "old"], "city": ["Oslo", "Oslo"]}))


def test_missing_column_is_told_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"column 'city' missing.*Did you mean 'town_city'"):
        CLASSES.apply(pa.table({"age": [1.0], "town_city": ["Oslo"]}))


def test_images_pass_as_bytes_in_their_shape() -> None:
    image = {"column": "i", "shape": [1, 2, 2], "mean": [0.5], "std": [0.5], "scale": 255.0}
    transform = Transform("classification", ["t"], image=image)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(range(8), pa.uint8()), 4)
    nested = pa.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]]])
    for column in (flat, nested):
        x = transform.apply(pa.table({"i": column}))["x"]
        assert x.dtype == np.uint8
        assert x.shape == (2, 1, 2, 2)
        assert x.reshape(-1).tolist() == list(range(8))
    with pytest.raises(DataError, match="4 in each row"):
        transform.apply(pa.table({"i": pa.array([[0, 1]])}))
    with pytest.raises(DataError, match="whole numbers from 0 to 255"):
        transform.apply(pa.table({"i": pa.array([[0.5, 1, 2, 3]])}))


def test_classes_are_encoded_after_renaming() -> None:
    table = pa.table({"income": [">50K.", " <=50K", ">50K"]})
    assert CLASSES.encode_target(table)["y"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("value", "told"), [(">5OK", "Did you mean '>50K'"), (None, "1 rows have no target value")]
)
def test_row_without_a_known_class_is_told(value: str | None, told: str) -> None:
    with pytest.raises(DataError, match=told):
        CLASSES.encode_target(pa.table({"income": pa.array([value], pa.string())}))


def test_targets_are_standardised_and_kept_in_their_unit() -> None:
    transform = Transform("regression", ["a", "b"], target_mean=[10.0, 0.0], target_std=[2.0, 1.0])
    encoded = transform.encode_target(pa.table({"a": [12, 8], "b": [1.5, -1.5]}))
    assert encoded["y"].dtype == np.float32
    assert encoded["y"].tolist() == [[1.0, 1.5], [-1.0, -1.5]]
    assert encoded["target"].tolist() == [[12.0, 1.5], [8.0, -1.5]]
    decoded = transform.decode(encoded["y"])
    assert decoded.to_pydict() == {"prediction_a": [12.0, 8.0], "prediction_b": [1.5, -1.5]}


def test_outputs_become_labels_and_probabilities() -> None:
    outputs = np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    decoded = CLASSES.decode(outputs)
    assert decoded.column_names == ["prediction", "probability_<=50K", "probability_>50K"]
    assert decoded["prediction"].to_pylist() == ["<=50K", "<=50K"]
    chances = class_probabilities(outputs)
    assert chances.dtype == np.float32
    assert decoded["probability_>50K"].to_pylist() == chances[:, 1].astype(np.float64).tolist()
    assert np.allclose(chances.sum(axis=1), 1)


@pytest.mark.parametrize("classes", [[0, 1, 7], [False, True]])
def test_labels_keep_their_type(classes: list[int]) -> None:
    transform = Transform("classification", ["t"], classes=list(classes))
    outputs = np.eye(len(classes), dtype=np.float32)
    assert transform.decode(outputs)["prediction"].to_pylist() == classes
    assert transform.encode_target(pa.table({"t": classes}))["y"].tolist() == [*range(len(classes))]
